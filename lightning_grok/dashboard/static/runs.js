"use strict";
// The list of runs: one stop of the Tab key, arrows go from run to run, Space ticks one for the
// comparison, Enter shows it.

const MARKS = { running: "●", finished: "✓", interrupted: "‖", failed: "✕" };
const counted = (value) => (value == null ? null : value.toLocaleString("en"));

function drawRuns() {
  const rows = shownRows();
  const known = new Map([...$("runs").children].map((item) => [item.dataset.id, item]));
  rows.forEach((row, index) => {
    let item = known.get(row.id);
    known.delete(row.id);
    if (!item) item = runItem(row);
    if ($("runs").children[index] !== item) $("runs").insertBefore(item, $("runs").children[index] ?? null);
    const button = item.querySelector("button"), tick = item.querySelector("input");
    button.setAttribute("aria-current", String(row.id === state.run && !["compare", "runs"].includes(state.page)));
    tick.checked = state.ticked.has(row.id);
    const version = JSON.stringify([row, markOf(row.id)]);
    if (item.dataset.version === version) return;
    item.dataset.version = version;
    const mark = markOf(row.id);
    item.classList.toggle("unseen", Boolean(mark.hidden || mark.archived));
    const [name, what, when, events] = button.querySelectorAll("[data-part]");
    name.textContent = `${mark.pinned ? "★ " : ""}${nameOf(row)}`;
    what.className = `mark ${row.state ?? ""}`;
    what.textContent = row.state ? `${MARKS[row.state] ?? ""} ${row.state}` : "reading …";
    when.textContent = !row.state ? "" : ` · epoch ${counted(row.epoch)}${row.last && row.epoch < row.last ? ` of ${counted(row.last)}` : ""}`;
    events.textContent = [...(mark.tags ?? []).map((tag) => `#${tag}`), ...(row.words ?? [])].join(" · ");
    button.title = [row.name, row.reason, row.outcome, mark.note].filter(Boolean).join(". ");
    tick.setAttribute("aria-label", `Compare ${row.name}`);
  });
  for (const item of known.values()) item.remove();
  oneStop();
  const all = state.rows.length;
  $("count").textContent = all === 1 ? "1 run" : rows.length === all ? `${all} runs` : `${rows.length} of ${all} runs`;
  $("untick").hidden = !state.ticked.size;
  $("untick").textContent = `Untick ${state.ticked.size}`;
}

function oneStop(wanted) {
  const buttons = [...$("runs").querySelectorAll("button")];
  const stop = wanted ?? buttons.find((button) => button === document.activeElement) ?? buttons.find((button) => button.getAttribute("aria-current") === "true") ?? buttons[0];
  for (const button of buttons) button.tabIndex = button === stop ? 0 : -1;
}

function runItem(row) {
  const item = Object.assign(document.createElement("li"), { className: "row" });
  item.dataset.id = row.id;
  const tick = Object.assign(document.createElement("input"), { type: "checkbox", title: "Compare this run (Space)", tabIndex: -1 });
  tick.onchange = () => ticks(row.id, tick.checked);
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

function ticks(run, on) {
  on ? state.ticked.add(run) : state.ticked.delete(run);
  announce(`${state.ticked.size} runs are ticked.`);
  drawRuns();
  remember();
  if (["compare", "config", "runs"].includes(state.page)) load();
}

$("runs").onkeydown = (event) => {
  const buttons = [...$("runs").querySelectorAll("button")], at = buttons.indexOf(document.activeElement);
  if (at < 0) return;
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (to !== undefined) {
    const next = buttons[Math.min(Math.max(to, 0), buttons.length - 1)];
    oneStop(next);
    next.focus();
  } else if (event.key === " " && source.live) {
    const run = buttons[at].closest("li").dataset.id;
    ticks(run, !state.ticked.has(run));
  } else return;
  event.preventDefault();
  event.stopPropagation();
};
$("filter").addEventListener("keydown", (event) => { // on to what it has found
  if (event.key !== "ArrowDown") return;
  $("runs").querySelector('button[tabindex="0"]')?.focus();
  event.preventDefault();
});
$("untick").onclick = () => {
  state.ticked.clear();
  drawRuns();
  load();
};
