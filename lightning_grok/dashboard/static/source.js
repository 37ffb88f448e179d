"use strict";
// Where data comes from: the server of the live page, or what is embedded in a report. Both answer
// the same questions; null or undefined says that there is nothing new.

function server() {
  const tags = new Map();
  async function ask(url) { // undefined: nothing new
    const headers = tags.has(url) ? { "If-None-Match": tags.get(url) } : {};
    const response = await fetch(url, { headers, cache: "no-store" });
    if (response.status === 304) return void await response.text(); // unread, it counts as aborted
    if (!response.ok) throw Object.assign(new Error(url), { gone: response.status === 404 });
    const answer = await response.json();
    if (!url.startsWith("frame")) tags.set(url, response.headers.get("ETag"));
    return answer;
  }
  return {
    live: true,
    runs: () => ask("runs"),
    page: (request, anew) => {
      const url = "page?" + new URLSearchParams(request);
      if (anew) tags.delete(url);
      return ask(url);
    },
    frame: (run, epoch) => ask("frame?" + new URLSearchParams({ run, epoch })),
  };
}

function report(data) {
  let listed = false;
  return {
    live: false,
    runs: async () => { const first = !listed; listed = true; return first ? data.runs : null; },
    page: async (request, anew) => anew ? data.pages[requestKey(request)] : null,
    frame: async (run, epoch) => data.frames[run][epoch],
  };
}

function requestKey(request) {
  if (request.page === "compare") return `compare/${request.by}`;
  return request.page === "run" ? `run/${request.run}` : `classes/${request.run}/${request.layer ?? ""}`;
}
