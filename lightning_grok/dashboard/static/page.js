"use strict";
// The page: views with a shared epoch axis, one slider, a list of runs. It draws what it is given
// and knows nothing of what is measured. In a report the same script reads embedded data instead of
// asking a server. Text from runs enters the page as textContent only.

const $ = (id) => document.getElementById(id);
const POLL = 700; // ms between an answer and the next question
const STEP = 140; // ms between epochs while playing
const INITIALIZATION = 10 ** -0.4; // where epoch 0 stands on the epoch axis

const state = {
  run: null, page: "run", layer: null, by: "setup", // what is asked for
  ticked: new Set(), filter: "", rows: [],
  answer: null, // the last page
  epoch: 0, follow: true, // of the slider; it follows the newest epoch until it is moved
  zoom: null, zooms: {}, // ranges the user chose: of the epoch axis, of other axes by view
  hidden: new Set(), // groups of traces that are switched off
  playing: 0, pressed: false, drawn: new Map(), frames: new Map(), changed: "never",
};

const embedded = $("report-data");
const source = embedded ? report(JSON.parse(embedded.textContent)) : server();

// ---- the slider ------------------------------------------------------------------------------

function setEpoch(index, { follow } = {}) {
  const epochs = state.answer?.epochs ?? [];
  if (!epochs.length) return;
  const last = epochs.length - 1;
  const at = Math.min(Math.max(index, 0), last);
  state.follow = follow ?? at === last;
  state.epoch = epochs[at];
  $("slider").value = at;
  $("slider").setAttribute("aria-valuetext", inWords(state.epoch));
  $("epoch").textContent = inWords(state.epoch);
  drawReadings();
  requestAnimationFrame(moveCursors);
}

function moveCursors() {
  for (const drawn of state.drawn.values()) if (drawn.started) placeCursors(drawn);
  moveFrames();
}

function drawReadings() {
  const shown = (value) => (value === null ? "–" : Math.abs(value) >= 0.1 ? value.toFixed(3) : value.toPrecision(3));
  $("readings").replaceChildren(...(state.answer?.readings ?? []).map(({ label, epochs, values }) => {
    const at = epochs.filter((epoch) => epoch <= state.epoch).length - 1;
    const pair = document.createElement("div");
    pair.append(Object.assign(document.createElement("dt"), { textContent: label }));
    pair.append(Object.assign(document.createElement("dd"), { textContent: at < 0 ? "–" : shown(values[at]) }));
    return pair;
  }));
}

function play(on = !state.playing) {
  clearInterval(state.playing);
  state.playing = 0;
  $("play").textContent = on ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  if (!on) return;
  if (Number($("slider").value) >= Number($("slider").max)) setEpoch(0);
  state.playing = setInterval(() => {
    const next = Number($("slider").value) + 1;
    next > Number($("slider").max) ? play(false) : setEpoch(next);
  }, STEP);
}

// ---- what stands around the figures ----------------------------------------------------------

function drawHead() {
  const { heading, events, page, note, layers = [], layer, legend = [] } = state.answer;
  $("name").textContent = heading ? heading.name : "Comparison";
  $("words").textContent = heading
    ? [heading.words, `${heading.state}, ${inWords(heading.epoch)}${heading.epoch < heading.last ? ` of ${heading.last.toLocaleString("en")}` : ""}`].filter(Boolean).join(" · ")
    : note;
  $("outcome").textContent = heading ? [state.answer.reason, state.answer.outcome].filter(Boolean).join(". ") : "";
  const key = [{ label: "epoch of the slider", color: "#101418", dash: "dot" }];
  if (events) {
    const yet = heading.state === "finished" ? "" : " so far";
    const unseen = (what) => `${what}: not seen${yet}`;
    key.unshift(
      { label: events.memorization === null ? unseen("memorization") : `memorization: ${inWords(events.memorization)}, train accuracy ≥ 99 %`, color: "#5a6270", dash: "dash" },
      { label: events.generalization === null ? unseen("generalization") : `half of the rise of test accuracy: ${inWords(events.generalization)}${yet}`, color: "#5a6270" },
    );
  }
  $("key").replaceChildren(...key.map((entry) => {
    const item = document.createElement("li");
    item.append(swatch(entry), document.createTextNode(entry.label));
    return item;
  }));
  for (const button of document.querySelectorAll("nav button")) {
    button.dataset.page === page ? button.setAttribute("aria-current", "page") : button.removeAttribute("aria-current");
  }
  $("layer-choice").hidden = page !== "classes" || !layers.length;
  if ([...$("layer").options].map((each) => each.value).join() !== layers.join()) {
    $("layer").replaceChildren(...layers.map((name) => new Option(name, name)));
  }
  if (layer) $("layer").value = layer;
  $("views").dataset.page = page;
  $("by-choice").hidden = page !== "compare";
  drawLegend($("legend"), legend.map((entry, index) => ({ ...entry, label: `${index + 1}  ${entry.label}` })));
  const missing = { run: "Nothing has been measured in this run yet.", classes: "No accuracies of single classes have been logged in this run.", compare: "No runs to compare." };
  $("empty").hidden = state.answer.views.length > 0;
  $("empty").textContent = missing[page];
  const hash = `#${new URLSearchParams({ page, ...(state.run ? { run: state.run } : {}) })}`;
  if (location.hash !== hash) location.replace(hash);
}

function drawRuns() {
  const marks = { running: "●", finished: "✓", interrupted: "‖", failed: "✕" };
  const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const count = (value) => (value == null ? null : value.toLocaleString("en"));
  let shown = 0;
  const known = new Map([...$("runs").children].map((item) => [item.dataset.id, item]));
  state.rows.forEach((row, index) => {
    const text = [row.name, row.dataset, row.setup, row.state].join(" ").toLowerCase();
    const visible = words.every((word) => text.includes(word));
    shown += visible;
    let item = known.get(row.id);
    known.delete(row.id);
    if (!item) item = runItem(row);
    if ($("runs").children[index] !== item) $("runs").insertBefore(item, $("runs").children[index] ?? null);
    item.hidden = !visible;
    const button = item.querySelector("button");
    button.setAttribute("aria-current", String(row.id === state.run && state.page !== "compare"));
    const version = JSON.stringify(row);
    if (item.dataset.version === version) return;
    item.dataset.version = version;
    const [name, what, when, events] = button.querySelectorAll("[data-part]");
    name.textContent = row.id === "." || row.id.endsWith(row.name) ? (row.id === "." ? row.name : row.id) : row.name;
    what.className = `mark ${row.state ?? ""}`;
    what.textContent = row.state ? `${marks[row.state] ?? ""} ${row.state}` : "reading …";
    when.textContent = !row.state ? "" : ` · epoch ${count(row.epoch)}${row.last && row.epoch < row.last ? ` of ${count(row.last)}` : ""}`;
    events.textContent = (row.words ?? []).join(" · ");
    button.title = [row.reason, row.outcome].filter(Boolean).join(". ");
  });
  for (const item of known.values()) item.remove();
  $("count").textContent = state.rows.length === 1 ? "1 run" : shown === state.rows.length ? `${shown} runs` : `${shown} of ${state.rows.length} runs`;
}

function runItem(row) {
  const item = Object.assign(document.createElement("li"), { className: "row" });
  item.dataset.id = row.id;
  const tick = Object.assign(document.createElement("input"), { type: "checkbox", title: "Compare this run" });
  tick.setAttribute("aria-label", `Compare ${row.name}`);
  tick.onchange = () => {
    tick.checked ? state.ticked.add(row.id) : state.ticked.delete(row.id);
    if (state.page === "compare") load();
  };
  tick.hidden = !source.live;
  const button = Object.assign(document.createElement("button"), { type: "button" });
  const part = (name, parent) => {
    const element = parent.appendChild(document.createElement(name));
    element.dataset.part = "";
    return element;
  };
  part("strong", button);
  const line = button.appendChild(document.createElement("small"));
  part("span", line);
  part("span", line);
  part("small", button);
  button.onclick = () => select(row.id);
  item.append(tick, button);
  return item;
}

// ---- asking ----------------------------------------------------------------------------------

function request() {
  if (state.page === "compare") {
    const listed = state.filter ? state.rows.map((row) => row.id).filter((id) => !runHidden(id)) : [];
    const ids = state.ticked.size ? [...state.ticked].sort() : listed.slice(0, 500);
    return { page: "compare", by: state.by, runs: JSON.stringify(ids) };
  }
  return { page: state.page, run: state.run, ...(state.page === "classes" && state.layer ? { layer: state.layer } : {}) };
}

const runHidden = (id) => [...$("runs").children].find((item) => item.dataset.id === id)?.hidden;

async function update({ anew = false } = {}) {
  if (state.run === null && state.page !== "compare") return;
  const asked = request();
  const answer = await source.page(asked, anew);
  if (!answer || JSON.stringify(asked) !== JSON.stringify(request())) return;
  if (state.pressed && !anew) { state.late = true; return; } // not under a drag
  state.changed = new Date().toLocaleTimeString();
  const other = !state.answer || state.answer.run !== answer.run || state.answer.page !== answer.page;
  state.answer = answer;
  $("slider").max = Math.max(answer.epochs.length - 1, 0);
  const at = answer.epochs.filter((epoch) => epoch <= state.epoch).length - 1;
  setEpoch(state.follow ? answer.epochs.length - 1 : at, { follow: state.follow });
  drawHead();
  drawAll({ force: other && state.drawn.size > 0 });
  fetchFrames();
}

async function load() { // another page, run, layer or comparison
  try {
    await update({ anew: true });
  } catch (error) {
    if (error.gone && state.layer) { state.layer = null; await load(); }
  }
  drawRuns();
}

function select(run) {
  if (run !== state.run) { state.layer = null; state.zooms = {}; }
  state.run = run;
  if (state.page === "compare") state.page = "run";
  load();
}

async function poll() {
  let wait = POLL;
  try {
    if (!document.hidden) {
      const list = await source.runs();
      if (list) {
        state.rows = list.runs;
        if (!list.complete) wait = 50;
        if (!state.rows.some((row) => row.id === state.run)) state.run = wantedRun() ?? list.newest;
        drawRuns();
        if (!state.answer) document.querySelector('#runs [aria-current="true"]')?.scrollIntoView({ block: "nearest" });
        if (!state.rows.length) {
          $("empty").hidden = false;
          $("empty").textContent = `No runs in ${list.folder} yet. The page shows the first one as soon as it begins.`;
        }
      }
      const late = state.late && !state.pressed;
      if (late) state.late = false;
      await update({ anew: late || !state.answer });
      say(source.live ? `Live, last change ${state.changed}` : embedded.dataset.made);
    }
  } catch (error) {
    if (!error.gone) say("No answer from the server; trying again.");
    wait = 2000;
  }
  if (source.live) setTimeout(poll, wait);
}

const say = (text) => { if ($("status").textContent !== text) $("status").textContent = text; };

function wantedRun() { // of the address, so that a reload comes back to it
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (["run", "classes", "compare"].includes(wanted.get("page"))) state.page = wanted.get("page");
  return state.rows.find((row) => row.id === wanted.get("run"))?.id;
}

$("slider").oninput = () => { play(false); setEpoch(Number($("slider").value)); };
$("play").onclick = () => play();
$("reset").onclick = resetZoom;
$("layer").onchange = () => { state.layer = $("layer").value; load(); };
$("by").onchange = () => { state.by = $("by").value; load(); };
$("filter").oninput = () => {
  state.filter = $("filter").value;
  drawRuns();
  if (state.page === "compare" && !state.ticked.size) load();
};
for (const button of document.querySelectorAll("nav button")) {
  button.onclick = () => { state.page = button.dataset.page; load(); };
}
addEventListener("pointerdown", () => { state.pressed = true; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { state.pressed = false; }, true);
document.addEventListener("visibilitychange", () => { if (!document.hidden && source.live) update(); });
darkness.addEventListener("change", () => { if (state.answer) { drawHead(); drawAll({ force: true }); } });
for (const part of ["appendix", "files"]) { // of a report; the live page has none
  $(part).append($(`report-${part}`)?.content ?? "");
  $(part).hidden = !$(part).children.length;
}
poll();
