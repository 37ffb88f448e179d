"use strict";
// Where data comes from: the server of the live page, or what is embedded in a report. Both answer
// the same questions; null or undefined says that there is nothing new.

function server() {
  const tags = new Map();
  async function ask(url) { // undefined: nothing new
    const headers = tags.has(url) ? { "If-None-Match": tags.get(url) } : {};
    const response = await fetch(url, { headers, cache: "no-store" });
    if (response.status === 304) return void await response.text(); // unread, it counts as aborted
    if (!response.ok) throw Object.assign(new Error(url), { gone: response.status === 404, answered: true });
    const answer = await response.json();
    if (["runs", "page", "table"].includes(url.split("?")[0])) tags.set(url, response.headers.get("ETag"));
    return answer;
  }
  return {
    live: true,
    runs: () => ask("runs"),
    table: () => ask("table"),
    page: (request, anew) => {
      const url = "page?" + new URLSearchParams(request);
      if (anew) tags.delete(url);
      return ask(url);
    },
    frame: (run, epoch) => ask("frame?" + new URLSearchParams({ run, epoch })),
    series: (of) => ask("series?" + new URLSearchParams({ of: JSON.stringify(of) })),
    note: async (run, mark) => {
      const token = document.querySelector('meta[name="token"]').content;
      const headers = { "Content-Type": "application/json", "X-Token": token };
      const response = await fetch("marks", { method: "POST", headers, body: JSON.stringify({ run, mark }) });
      if (!response.ok) throw new Error((await response.text()).trim());
    },
  };
}

function report(data) {
  let listed = false;
  return {
    live: false,
    runs: async () => { const first = !listed; listed = true; return first ? data.runs : null; },
    table: async () => data.table,
    page: async (request, anew) => {
      const page = data.pages[requestKey(request)];
      const added = JSON.parse(request.charts ?? "[]").map((key) => data.charts[request.run]?.[key]).filter(Boolean);
      return anew && page ? { ...page, views: [...added, ...page.views] } : null;
    },
    frame: async (run, epoch) => data.frames[run][epoch],
  };
}

function requestKey(request) {
  if (request.page === "compare") return `compare/${request.by === "run" ? "run" : "setup"}`;
  return request.page === "classes" ? `classes/${request.run}/${request.layer ?? ""}` : `${request.page}/${request.run}`;
}
