"use strict";
// The table of runs, the configuration of one and the difference of several, and what is noted of
// a run. Everything from runs is text.

const COLUMNS = [ // of every table: head, value to sort by, and how it is shown
  ["run", nameOf],
  ["state", (row) => row.state],
  ["epoch", (row) => row.epoch],
  ["memorized", (row) => row.memorization],
  ["generalized", (row) => row.half, (_, row) => halfOf(row)],
  ["test accuracy", (row) => valuesOf(row, "test/accuracy")[0]],
  ["duration", (row) => row.seconds, (value) => (value < 60 ? `${value.toFixed(0)} s` : value < 3600 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`)],
  ["date", (row) => row.created, (value) => value.slice(0, 16).replace("T", " ")],
];

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const shownValue = (value, show) => (value === undefined || value === null || value === "" ? "–"
  : show ? show(value) : typeof value === "number" ? (Number.isInteger(value) ? value.toLocaleString("en") : String(+value.toPrecision(4))) : String(value));

const halfOf = (row) => row.words?.find((each) => each.startsWith("half "))?.slice(5); // "≥ 263", "50 so far"

function groupOf(row) { // as a comparison groups them
  if (state.by === "run") return row.id;
  return state.by === "setup" ? [row.dataset, row.setup || row.name].filter(Boolean).join(", ") : `${state.by} = ${JSON.stringify(valuesOf(row, state.by)[0] ?? null)}`;
}

function drawTable() {
  const columns = [...COLUMNS, ...state.columns.map((key) => [key, (row) => valuesOf(row, key)[0]])];
  const [sign, name] = state.sort.startsWith("-") ? [-1, state.sort.slice(1)] : [1, state.sort];
  const by = columns.find(([head]) => head === name);
  let rows = shownRows();
  if (by) {
    const of = new Map(rows.map((row) => [row, by[1](row) ?? null]));
    const compared = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
    rows.sort((a, b) => (of.get(a) === null) - (of.get(b) === null) || sign * compared(of.get(a), of.get(b)));
  }
  const groups = new Map();
  for (const row of rows) groups.set(groupOf(row), [...(groups.get(groupOf(row)) ?? []), row]);
  const order = [...new Set(state.rows.map(groupOf))]; // colors stay with a group, however it is sorted
  const heads = columns.map(([head]) => {
    const sorted = head === name ? (sign > 0 ? "ascending" : "descending") : "none";
    const button = element("button", { type: "button", textContent: head + { ascending: " ▲", descending: " ▼", none: "" }[sorted], title: "Sort by this column" });
    button.onclick = () => { state.sort = sorted === "ascending" ? `-${head}` : head; load(); };
    const cell = element("th", { scope: "col" }, button);
    cell.setAttribute("aria-sort", sorted);
    if (state.columns.includes(head)) {
      const away = cell.appendChild(element("button", { type: "button", className: "away", textContent: "✕", title: "Take this column away" }));
      away.setAttribute("aria-label", `Take ${head} away`);
      away.onclick = () => { state.columns = state.columns.filter((each) => each !== head); load(); };
    }
    return cell;
  });
  const bodies = [...groups].map(([group, members]) => {
    const { color } = state.list.colors[order.indexOf(group) % state.list.colors.length];
    const dot = () => element("span", { className: "dot", style: `background:${paint(color)}` });
    const lines = members.map((row) => tableRow(row, columns, dot()));
    if (state.by !== "run" && groups.size < rows.length) {
      const cell = element("th", { scope: "rowgroup", colSpan: columns.length + 2 }, dot(), `${group} (${members.length})`);
      lines.unshift(element("tr", { className: "group" }, cell));
    }
    return element("tbody", {}, ...lines);
  });
  const head = element("thead", {}, element("tr", {}, element("th"), ...heads, element("th", { scope: "col", textContent: source.live ? "note" : "" })));
  $("table").replaceChildren(element("div", { className: "scroll", tabIndex: 0 }, element("table", {}, head, ...bodies)));
  const keys = new Set(Object.values(state.table ?? {}).flatMap(({ settings, final }) => [...Object.keys(settings), ...Object.keys(final)]));
  options("all-keys", [...keys].sort());
}

function tableRow(row, columns, dot) {
  const tick = element("input", { type: "checkbox", checked: state.ticked.has(row.id), title: "Compare this run" });
  tick.setAttribute("aria-label", `Tick ${row.name}`);
  tick.onchange = () => ticks(row.id, tick.checked);
  tick.hidden = !source.live;
  const mark = markOf(row.id);
  const cells = columns.map(([head, value, show]) => {
    if (head !== "run") return element("td", { textContent: shownValue(value(row), show && ((each) => show(each, row))) });
    const link = element("button", { type: "button", className: "link", textContent: nameOf(row), title: row.outcome ?? "" });
    link.onclick = () => { state.page = "run"; select(row.id); };
    const tags = (mark.tags ?? []).map((tag) => element("small", { className: "tag", textContent: tag }));
    return element("th", { scope: "row" }, element("div", { className: "named" }, dot, mark.pinned ? "★ " : "", link, ...tags));
  });
  const noted = element("div", { className: "actions" }, mark.note ? element("small", { textContent: mark.note }) : "");
  for (const [what, off, on] of source.live ? [["pinned", "Pin", "Unpin"], ["hidden", "Hide", "Show"]] : []) {
    const button = noted.appendChild(element("button", { type: "button", textContent: mark[what] ? on : off }));
    button.onclick = () => note(row.id, { ...mark, [what]: !mark[what] });
  }
  return element("tr", { className: mark.hidden || mark.archived ? "unseen" : "" }, element("td", {}, tick), ...cells, element("td", {}, noted));
}

function options(list, values) {
  const known = [...$(list).children].map((each) => each.value);
  if (known.join("\n") !== values.join("\n")) $(list).replaceChildren(...values.map((value) => element("option", { value })));
}

// ---- configuration and difference ----------------------------------------------------------------

const text = (value) => (value === null ? "null" : String(value));

function listed(title, rows, ...around) {
  const lines = rows.map(([name, ...values]) => element("tr", {}, element("th", { scope: "row", textContent: name }), ...values.map((value) => element("td", { textContent: value }))));
  return element("section", { className: "facts" }, element("h3", { textContent: title }), ...around, element("div", { className: "scroll", tabIndex: 0 }, element("table", {}, element("tbody", {}, ...lines))));
}

function drawConfiguration() {
  const { facts, settings, run } = state.answer;
  const parts = state.ticked.size > 1 ? [difference([...state.ticked].filter((id) => state.table?.[id]))] : [];
  if (source.live) parts.push(noteForm(run));
  const [words, command] = facts.next ?? [];
  const going = command ? [commandLine(`To ${words}`, command)] : [];
  parts.push(listed("Where it comes from", [["directory", facts.path], ...facts.origin.map(([name, value]) => [name, text(value)])], ...going));
  parts.push(listed("Configuration", Object.entries(settings).map(([key, value]) => [key, text(value)])));
  parts.push(listed("Files", facts.files.map(([path, size]) => [path, size < 1e5 ? `${(size / 1e3).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`])));
  $("table").replaceChildren(...parts);
}

function commandLine(words, command) {
  const copy = element("button", { type: "button", textContent: "Copy" });
  copy.onclick = () => copyText(command, "Command");
  return element("p", { className: "command" }, `${words}: `, element("code", { textContent: command }), " ", copy);
}

function difference(runs) {
  const keys = [...new Set(runs.flatMap((run) => Object.keys(state.table[run].settings)))];
  const value = (run, key) => (Object.hasOwn(state.table[run].settings, key) ? text(state.table[run].settings[key]) : "–");
  const different = keys.filter((key) => new Set(runs.map((run) => value(run, key))).size > 1);
  const names = runs.map((run) => nameOf(state.rows.find((row) => row.id === run)));
  const rows = different.map((key) => [key, ...runs.map((run) => value(run, key))]);
  const note = element("p", { className: "note", textContent: `${different.length} of ${keys.length} options differ between the ${runs.length} ticked runs.` });
  const made = listed("Difference of the ticked runs", rows, note);
  made.classList.add("difference");
  made.querySelector("table").prepend(element("thead", {}, element("tr", {}, element("th", { scope: "col", textContent: "option" }), ...names.map((name) => element("th", { scope: "col", textContent: name })))));
  return made;
}

// ---- what is noted of a run ------------------------------------------------------------------------

function noteForm(run) {
  const mark = markOf(run);
  const field = (label, input) => element("label", {}, label, input);
  const name = element("input", { type: "text", maxLength: 200, value: mark.name ?? "" });
  const tags = element("input", { type: "text", maxLength: 2000, value: (mark.tags ?? []).join(", "), placeholder: "tag, tag" });
  const words = element("textarea", { maxLength: 10_000, rows: 2, value: mark.note ?? "" });
  const boxes = ["pinned", "hidden", "archived"].map((what) => [what, element("input", { type: "checkbox", checked: Boolean(mark[what]) })]);
  const form = element("form", { className: "noted" }, field("Shown as", name), field("Tags", tags), field("Note", words), ...boxes.map(([what, box]) => element("label", { className: "box" }, box, what)), element("button", { type: "submit", textContent: "Keep" }));
  form.onsubmit = (event) => {
    event.preventDefault();
    const flags = Object.fromEntries(boxes.map(([what, box]) => [what, box.checked]));
    note(run, { name: name.value, tags: tags.value.split(","), note: words.value, ...flags });
  };
  return element("section", { className: "facts" }, element("h3", { textContent: "Noted of it" }), element("p", { className: "note", textContent: "Kept in a file beside the runs; the run itself is never changed." }), form);
}

async function note(run, mark) {
  try {
    await source.note(run, mark);
    announce("Kept.");
  } catch (error) {
    announce(`Not kept: ${error.message}`, true);
  }
  await refreshList();
  load();
}
