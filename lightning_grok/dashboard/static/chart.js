"use strict";
// What can be done with one chart: shown large, its axis changed, taken along as a picture, as
// numbers or as the Python that draws it.

function chartMenu(id) { // its content is made when it is opened: of the view as it is then
  const menu = Object.assign(document.createElement("details"), { className: "menu" });
  const summary = menu.appendChild(Object.assign(document.createElement("summary"), { textContent: "⋯" }));
  const list = menu.appendChild(document.createElement("div"));
  summary.setAttribute("aria-label", "Chart: enlarge, axis, download");
  summary.title = "Enlarge, axis, download";
  menu.ontoggle = () => {
    if (!menu.open) return;
    for (const other of document.querySelectorAll("details.menu[open]")) if (other !== menu) other.open = false;
    const view = state.answer.views.find((each) => each.id === id);
    list.replaceChildren(...actionsOf(view).map(([label, act]) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
      button.onclick = () => { menu.open = false; summary.focus(); act(); };
      return button;
    }));
  };
  return menu;
}

function actionsOf(view) {
  const has = (set) => set.has(view.id);
  const numeric = view.kind === "epoch" && view.figure.data.some(isCurve);
  const log = (view.figure.layout.yaxis.type === "log") !== has(state.flipped);
  const python = pythonOf(view);
  return [
    [state.full === view.id ? "Back to all charts" : "Full screen", () => { state.full = state.full === view.id ? "" : view.id; redraw(); }],
    numeric && [log ? "Linear vertical axis" : "Logarithmic vertical axis", () => {
      has(state.flipped) ? state.flipped.delete(view.id) : state.flipped.add(view.id);
      redraw();
    }],
    ["PNG", () => savePicture(view, "png")],
    ["SVG", () => savePicture(view, "svg")],
    ["CSV", () => saveNumbers(view)],
    python && ["Python", () => showText(`Python: ${view.title}`, python)],
    view.id.startsWith("key-") && ["Take this chart away", () => {
      state.keys = state.keys.filter((key) => key !== view.sources[0][2]);
      remember();
      load();
    }],
  ].filter(Boolean);
}

const fileName = (view, ending) => `${state.answer.heading?.name ?? "comparison"} ${view.id}`.replace(/[^\w.=+-]+/g, "_") + `.${ending}`;

function save(content, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function savePicture(view, format) {
  const { data, layout } = dressed(view);
  const legend = legendOf(view);
  const shown = new Set();
  for (const trace of data) { // a legend as on the page: one entry for each name
    const entry = legend.find((each) => each.group === trace.legendgroup);
    trace.showlegend = isCurve(trace) && !trace.raw && Boolean(entry) && !shown.has(trace.name);
    if (trace.showlegend) shown.add(trace.name);
  }
  const title = { text: view.title.replace(/[<&]/g, (sign) => ({ "<": "&lt;", "&": "&amp;" })[sign]), font: { size: 15, color: css("--text") }, x: 0.02 };
  const figure = { data, layout: { ...layout, title, showlegend: true, paper_bgcolor: css("--panel"), margin: { ...layout.margin, t: 44 } } };
  const size = { width: state.drawn.get(view.id).plot.clientWidth, height: layout.height + 40 };
  const address = await Plotly.toImage(figure, { format, scale: format === "png" ? 2 : 1, ...size });
  const [kind, content] = [address.slice(5, address.indexOf(",")), address.slice(address.indexOf(",") + 1)];
  const bytes = kind.endsWith("base64") ? Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0)) : decodeURIComponent(content);
  save(new Blob([bytes], { type: kind.split(";")[0] }), fileName(view, format));
}

// ---- numbers -----------------------------------------------------------------------------------

function cell(value) { // text in quotes where it needs them, and never a formula
  if (typeof value === "number") return String(value);
  const text = value === null || value === undefined ? "" : String(value);
  const plain = /^[=+\-@\t]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

const csv = (rows) => rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";

async function numbersOf(view) { // every value as logged; of maps, and in a report, the points as drawn
  if (view.sources.length && source.live) {
    const series = await source.series(view.sources.map(([, run, key]) => [run, key]));
    const names = view.sources.map(([name, run]) => (state.answer.page === "compare" ? run : name));
    return csv([["epoch", ...names], ...joined(series)]);
  }
  const curves = view.figure.data.filter(isCurve);
  if (curves.length) {
    const series = curves.map(({ customdata, y }) => ({ epochs: customdata, values: y }));
    return csv([["epoch", ...curves.map(({ name, legendgroup }) => plainText(name ?? legendgroup))], ...joined(series)]);
  }
  const { data } = state.drawn.get(view.id).plot; // maps: with the frame of the epoch
  const rows = data.flatMap(({ name, x, y, z }) => (z
    ? z.flatMap((line, j) => line.map((value, i) => [name, x[i], y[j], value]))
    : x.map((value, i) => [plainText(name ?? ""), value, y[i]])));
  return csv([data.some(({ z }) => z) ? ["name", "x", "y", "value"] : ["name", "x", "y"], ...rows]);
}

function joined(series) { // one row an epoch, whoever has a value there
  const rows = new Map();
  series.forEach(({ epochs, values }, column) => epochs.forEach((epoch, index) => {
    if (!rows.has(epoch)) rows.set(epoch, Array(series.length).fill(null));
    if (values[index] !== null) rows.get(epoch)[column] = values[index];
  }));
  return [...rows].sort(([a], [b]) => a - b).map(([epoch, values]) => [epoch, ...values]);
}

function plainText(escaped) { // names are escaped for Plotly
  return new DOMParser().parseFromString(escaped.replaceAll("<", "&lt;"), "text/html").documentElement.textContent;
}

async function saveNumbers(view) {
  save(new Blob([await numbersOf(view)], { type: "text/csv" }), fileName(view, "csv"));
}

// ---- Python ------------------------------------------------------------------------------------

const placeOf = (run) => (run === "." ? state.list.folder : `${state.list.folder}/${run}`);

function pythonOf(view) { // a string of JSON is one of Python too
  if (!view.sources.length) return null;
  const words = JSON.stringify, { yaxis } = view.figure.layout;
  const log = (yaxis.type === "log") !== state.flipped.has(view.id);
  const lines = view.sources.map(([name, run, key]) => `    (${words(placeOf(run))}, ${words(key)}, ${words(name)}),`);
  const scale = log ? `\naxes.set_yscale("log")` : "";
  return `import matplotlib.pyplot as plt
from lightning_grok import read_run

lines = [  # run, logged key, name
${lines.join("\n")}
]
figure, axes = plt.subplots()
for run, key, name in lines:
    epochs, values = read_run(run).series(key)
    axes.plot(epochs, values, label=name)
axes.set_xscale(${state.linear ? '"linear"' : '"symlog", linthresh=1'})${scale}
axes.set(xlabel="epoch", ylabel=${words(plainText(yaxis.title.text))}, title=${words(view.title)})
axes.legend(fontsize="small")
figure.savefig(${words(fileName(view, "png"))})
`;
}

function showText(title, text) {
  const dialog = $("text");
  dialog.querySelector("h2").textContent = title;
  dialog.querySelector("pre").textContent = text;
  dialog.querySelector(".copy").onclick = () => copyText(text, "Text");
  if (!dialog.open) dialog.showModal();
}
