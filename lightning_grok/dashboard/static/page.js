"use strict";
// The page: views with a shared epoch axis, one slider, a list of runs. It draws what it is given
// and knows nothing of what is measured. In a report the same script reads embedded data instead of
// asking a server. Text from runs enters the page as textContent only.

const POLL = 700; // ms between an answer and the next question
const STEP = 140; // ms between epochs while playing
const TABLE = 2000; // ms between two looks at all settings and final values

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
  requestAnimationFrame(moveCursors);
  if (state.started) remember();
}

function moveCursors() { // to the epoch of the slider, or to that under the pointer
  $("epoch").textContent = inWords(place());
  drawReadings();
  for (const drawn of state.drawn.values()) {
    if (!drawn.started) continue;
    placeCursors(drawn);
    drawValues(drawn);
  }
  if (state.hover === null) moveFrames();
}

function drawReadings() {
  $("readings").replaceChildren(...(state.answer?.readings ?? []).map(({ label, epochs, values }) => {
    const at = epochs.filter((epoch) => epoch <= place()).length - 1;
    const pair = document.createElement("div");
    pair.append(Object.assign(document.createElement("dt"), { textContent: label }));
    pair.append(Object.assign(document.createElement("dd"), { textContent: at < 0 ? "–" : inShort(values[at]) }));
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

const VIEWLESS = ["runs", "config"];
const MISSING = {
  run: "Nothing has been measured in this run yet.",
  classes: "No accuracies of single classes have been logged in this run.",
  compare: "No runs to compare: the filter matches none, or all that it matches are hidden.",
};

function drawHead() {
  const { heading, events, page, note, layers = [], layer, legend = [], views, more = [] } = state.answer;
  const several = { compare: "Comparison", runs: "Runs" }[page];
  const shown = page === "runs" ? shownRows().length : 0;
  const mark = heading ? markOf(state.answer.run) : {};
  $("name").textContent = several ?? (mark.name || heading.name);
  $("words").textContent = page === "runs" ? `${shown} of ${state.rows.length} runs in ${state.list.folder}` : page === "compare" ? note
    : [mark.name && heading.name, heading.words, `${heading.state}, ${inWords(heading.epoch)}${heading.epoch < heading.last ? ` of ${heading.last.toLocaleString("en")}` : ""}`].filter(Boolean).join(" · ");
  $("outcome").textContent = heading ? [state.answer.reason, state.answer.outcome].filter(Boolean).join(". ") : "";
  document.title = `${several ?? heading.name} – lightning_grok`;
  drawKey(events, heading);
  for (const button of document.querySelectorAll("nav button")) {
    button.dataset.page === page ? button.setAttribute("aria-current", "page") : button.removeAttribute("aria-current");
  }
  $("layer-choice").hidden = page !== "classes" || !layers.length;
  if ([...$("layer").options].map((each) => each.value).join() !== layers.join()) {
    $("layer").replaceChildren(...layers.map((name) => new Option(name, name)));
  }
  if (layer) $("layer").value = layer;
  for (const unit of $("unit").options) unit.disabled = !hasUnit(unit.value);
  options("more", more);
  document.body.dataset.page = $("views").dataset.page = page;
  $("by-choice").hidden = !["compare", "runs"].includes(page);
  $("column-choice").hidden = page !== "runs";
  for (const part of ["key", "chart-choice"]) $(part).hidden = VIEWLESS.includes(page);
  document.querySelector("footer").hidden = !state.answer.epochs.length;
  $("reset").hidden = !state.zoom && !Object.keys(state.zooms).length;
  $("table").hidden = !VIEWLESS.includes(page);
  drawLegend($("legend"), numbered(legend));
  $("empty").hidden = views.length > 0 || VIEWLESS.includes(page);
  $("empty").textContent = MISSING[page] + (page === "run" && heading.state === "running" ? " Its terminal says what it waits for." : "");
}

function drawKey(events, heading) { // what the lines in all figures mean
  const key = [{ label: "epoch of the slider, or under the pointer", color: "#101418", dash: "dot" }];
  if (events && state.answer.accuracies) {
    const half = halfOf(state.rows.find((row) => row.id === state.answer.run) ?? {}) ?? counted(events.generalization);
    const yet = heading.state === "finished" ? "" : " so far";
    const unseen = (what) => `${what}: not seen${yet}`;
    key.unshift(
      { label: events.memorization === null ? unseen("memorization") : `memorization: ${inWords(events.memorization)}, train accuracy ≥ 99 %`, color: "#5a6270", dash: "dash" },
      { label: events.generalization === null ? unseen("generalization") : `half of the rise of test accuracy: epoch ${half}`, color: "#5a6270" },
    );
  }
  $("key").replaceChildren(...key.map((entry) => {
    const item = document.createElement("li");
    item.append(swatch(entry), document.createTextNode(entry.label));
    return item;
  }));
}

function drawBody() { // table or configuration: focus and scroll stay where they were
  if (!VIEWLESS.includes(state.page)) return;
  const reachable = () => [...$("table").querySelectorAll("button, input, textarea, .scroll")];
  const at = reachable().indexOf(document.activeElement), left = $("table").querySelector(".scroll")?.scrollLeft;
  if (state.page === "runs") drawTable();
  else drawConfiguration();
  if (at >= 0) reachable()[at]?.focus({ preventScroll: true });
  if (left && state.page === "runs") $("table").querySelector(".scroll").scrollLeft = left;
}

function drawChoices() { // what the controls show, from the state
  for (const [id, value] of [["filter", state.filter], ["find", state.find], ["unit", state.unit], ["smooth", state.smooth]]) $(id).value = value;
  $("linear").checked = state.linear;
  const own = !["setup", "run"].includes(state.by);
  $("by").value = own ? "key" : state.by;
  $("by-key").hidden = !own;
  if (document.activeElement !== $("by-key")) $("by-key").value = own ? state.by : "";
}

// ---- asking ----------------------------------------------------------------------------------

function request() {
  if (state.page === "compare") {
    const all = !state.filter && !Object.keys(state.list?.marks ?? {}).length;
    const shown = () => shownRows().filter((row) => !markOf(row.id).hidden).map((row) => row.id).slice(0, 500).sort();
    const ids = state.ticked.size ? [...state.ticked].sort() : all ? null : shown();
    return { page: "compare", by: state.by, ...(ids ? { runs: JSON.stringify(ids) } : {}) };
  }
  const charts = state.page === "run" && state.keys.length ? { charts: JSON.stringify(state.keys) } : {};
  return { page: state.page, run: state.run, ...(state.page === "classes" && state.layer ? { layer: state.layer } : {}), ...charts };
}

const needsTable = () => VIEWLESS.includes(state.page) || asksForTable(state.filter) || !["setup", "run"].includes(state.by);

async function refreshTable({ anew = false } = {}) {
  if (!needsTable() || (state.table && !anew && Date.now() - state.looked < TABLE)) return;
  state.looked = Date.now();
  state.table = (await source.table()) ?? state.table;
}

async function update({ anew = false } = {}) {
  if (!state.page || (!state.run && !["compare", "runs"].includes(state.page))) return;
  const asked = request();
  const answer = state.page === "runs" ? { page: "runs", run: null, views: [], epochs: [], readings: [] } : await source.page(asked, anew);
  if (!answer || JSON.stringify(asked) !== JSON.stringify(request())) return;
  if (state.pressed && !anew) { state.late = true; return; } // not under a drag
  state.changed = new Date().toLocaleTimeString();
  const other = !state.answer || state.answer.run !== answer.run || state.answer.page !== answer.page;
  state.answer = answer;
  $("slider").max = Math.max(answer.epochs.length - 1, 0);
  const at = answer.epochs.filter((epoch) => epoch <= state.epoch).length - 1;
  setEpoch(state.follow ? answer.epochs.length - 1 : at, { follow: state.follow });
  drawHead();
  drawAll({ force: anew || other });
  if (anew || !$("table").contains(document.activeElement)) drawBody();
  if (other) announce(`${$("name").textContent}. ${$("outcome").textContent}`);
  fetchFrames();
}

async function load({ back = false } = {}) { // another page, run, layer, comparison or look
  try {
    await refreshTable({ anew: !state.table });
    await update({ anew: true });
    if (!back) rememberNow();
  } catch (error) {
    if (!error.gone) return;
    if (state.layer) { state.layer = ""; await load(); }
  }
  drawChoices();
  drawRuns();
}

function select(run) {
  if (run !== state.run) { state.layer = ""; state.zooms = Object.create(null); }
  state.run = run;
  if (["compare", "runs"].includes(state.page)) state.page = "run";
  document.body.classList.remove("listing");
  load();
}

async function refreshList() {
  const list = await source.runs();
  if (!list) return null;
  state.list = list;
  state.rows = list.runs;
  if (state.rows.length) state.page ||= state.run || state.rows.length === 1 ? "run" : "runs";
  if (!state.rows.some((row) => row.id === state.run)) state.run = list.newest ?? "";
  await refreshTable();
  drawRuns();
  $("empty").hidden = state.rows.length > 0;
  if (!state.rows.length) {
    $("empty").replaceChildren(`No runs in ${list.folder} yet. The page shows the first one as soon as it begins, for example with `, element("code", { textContent: "python -m lightning_grok fit --config modular/quadratic" }), ".");
  }
  return list;
}

async function poll() {
  let wait = POLL;
  try {
    if (!document.hidden) {
      const list = await refreshList();
      if (list && !list.complete) wait = 50;
      const late = state.late && !state.pressed;
      if (late) state.late = false;
      const first = !state.answer && state.page;
      await update({ anew: late || first });
      if (first) started();
      else if (list && state.page === "runs" && !$("table").contains(document.activeElement)) drawBody();
      state.failures = 0;
      say(source.live ? `Live, last change ${state.changed}` : embedded.dataset.made);
    }
  } catch (error) {
    if (!error.answered && !(error instanceof TypeError && error.message.includes("undefined"))) state.failures += 1;
    if (!error.gone) say(state.failures > 2 ? ended() : "No answer from the server; trying again.");
    wait = 2000;
  }
  if (source.live) setTimeout(poll, wait);
}

function started() { // the address had its say
  state.started = true;
  drawChoices();
  remember();
  const current = document.querySelector('#runs [aria-current="true"]');
  if (current) $("runs").scrollTop = current.offsetTop - $("runs").offsetTop - 40; // not the page with it
}

function ended() { // where what was to be seen is now
  const folder = state.list?.folder ?? "runs";
  const run = state.answer?.place ?? folder;
  return `The server has ended, and this page with it. A run watched by --run.watch leaves ${run}/report.html. To open the page again: python -m lightning_grok dashboard ${folder}`;
}

const say = (text) => { if ($("status").textContent !== text) $("status").textContent = text; };

function announce(text, loud = false) { // to a screen reader; what went wrong to everybody
  $("announce").textContent = text;
  if (loud) say(text);
}

// ---- controls --------------------------------------------------------------------------------

$("slider").oninput = () => { play(false); setEpoch(Number($("slider").value)); };
$("play").onclick = () => play();
$("reset").onclick = resetZoom;
$("copy").onclick = () => { rememberNow(); copyText(location.href, "Link"); };
$("layer").onchange = () => { state.layer = $("layer").value; load(); };
$("by").onchange = () => {
  $("by-key").hidden = $("by").value !== "key";
  if ($("by").value === "key") $("by-key").focus();
  else { state.by = $("by").value; load(); }
};
$("by-key").onchange = () => { state.by = $("by-key").value.trim() || "setup"; load(); };
$("by-key").onfocus = $("column").onfocus = async () => {
  state.table ??= await source.table();
  options("all-keys", [...new Set(Object.values(state.table).flatMap(({ settings, final }) => [...Object.keys(settings), ...Object.keys(final)]))].sort());
};
$("column").onchange = () => {
  const key = $("column").value.trim();
  if (key && !state.columns.includes(key)) state.columns.push(key);
  $("column").value = "";
  load();
};
$("filter").oninput = async () => {
  state.filter = $("filter").value;
  await refreshTable();
  drawRuns();
  announce($("count").textContent);
  remember();
  if (state.page === "runs" || (state.page === "compare" && !state.ticked.size)) await update({ anew: true });
};
$("find").oninput = () => {
  state.find = $("find").value;
  drawAll();
  remember();
};
$("find").onchange = () => { // a whole key that no chart shows: one more chart
  if (!state.answer.more?.includes(state.find)) return;
  state.keys = [...new Set([state.find, ...state.keys])];
  state.find = "";
  load();
};
$("unit").onchange = () => { state.unit = $("unit").value; state.zoom = null; redraw(); };
$("linear").onchange = () => { state.linear = $("linear").checked; state.zoom = null; redraw(); };
$("smooth").oninput = () => { state.smooth = Number($("smooth").value); redraw(); };
for (const button of document.querySelectorAll("nav button")) {
  button.onclick = () => { state.page = button.dataset.page; load(); };
}
$("terms").onclick = () => $("glossary").showModal();
$("list").onclick = () => {
  const open = document.body.classList.toggle("listing");
  $("list").setAttribute("aria-expanded", String(open));
};

const editable = "input:not([type=checkbox]), textarea, select";
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const on = (what) => event.target.closest?.(what);
  if (on("dialog")) return; // it has its own keys, Escape among them
  const along = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const bar = on(".legend");
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
    if (state.full) { state.full = ""; redraw(); }
  } else if (event.key === "/" && !on(editable)) {
    document.body.classList.add("listing");
    $("filter").focus();
  } else if (along && bar) {
    const buttons = [...bar.children], at = buttons.indexOf(on("button"));
    const next = buttons[(at + along + buttons.length) % buttons.length];
    for (const button of buttons) button.tabIndex = button === next ? 0 : -1;
    next.focus();
  } else if (along && !on(editable) && !on(".scroll")) setEpoch(Number($("slider").value) + along);
  else if (event.key === " " && !on(`${editable}, input, button, summary, a`)) play();
  else return;
  event.preventDefault();
});
addEventListener("pointerdown", (event) => {
  state.pressed = true;
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
}, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { state.pressed = false; }, true);
document.addEventListener("visibilitychange", () => { if (!document.hidden && source.live) update().catch(() => {}); });
darkness.addEventListener("change", () => { if (state.answer) { drawHead(); drawAll({ force: true }); drawBody(); } });
for (const part of ["appendix", "files"]) { // of a report; the live page has none
  $(part).append($(`report-${part}`)?.content ?? "");
  $(part).hidden = !$(part).children.length;
}
if (!source.live) { // a report has answers to these two groupings only
  for (const option of [...$("by").options]) if (option.value === "key") option.remove();
}
readAddress();
drawChoices();
poll();
