"use strict";
// Figures: each view of the answer drawn by Plotly in the theme of the system, with the zoom, the
// hidden groups and the epoch that `state` (page.js) holds. A redraw keeps all of them.

// ---- colours and axes ------------------------------------------------------------------------

const darkness = matchMedia("(prefers-color-scheme: dark)");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const paint = (color) => (darkness.matches && state.answer?.dark?.[color]) || color;

function repainted(value) { // a copy in the colours of the theme; lists of numbers are shared
  if (typeof value === "string") return paint(value);
  if (Array.isArray(value)) return typeof value[0] === "object" && value[0] ? value.map(repainted) : value;
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, repainted(each)]));
  }
  return value;
}

function zoomedTicks([low, high]) { // finer labels where the axis shows less than three decades
  const digits = high - low < 1.1 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : high - low < 2.6 ? [1, 2, 5] : [1];
  const values = [INITIALIZATION], names = ["0"];
  for (let power = 0; power <= Math.ceil(high); power++) {
    for (const digit of digits) {
      values.push(digit * 10 ** power);
      names.push((digit * 10 ** power).toLocaleString("en"));
    }
  }
  return { tickvals: values, ticktext: names };
}

function dressed(view) { // the figure as it is drawn: theme, zoom, hidden groups, cursor
  const { data, layout } = repainted(view.figure);
  const quiet = css("--quiet"), grid = css("--grid"), panel = css("--panel");
  const axis = {
    gridcolor: grid, linecolor: css("--line"), zerolinecolor: grid, tickcolor: css("--line"),
    ticks: "outside", ticklen: 4, automargin: false, showline: true, ticklabeloverflow: "allow", tickangle: 0,
  };
  for (const name of ["xaxis", "yaxis"]) {
    layout[name] = { ...axis, ...layout[name] };
    layout[name].title = { standoff: 6, font: { size: 12.5, color: quiet }, ...layout[name].title };
    if (layout[name].minor) layout[name].minor = { ticks: "outside", ticklen: 2, tickcolor: css("--line"), ...layout[name].minor };
  }
  for (const mark of layout.annotations ?? []) Object.assign(mark, { bgcolor: panel, font: { ...mark.font, color: quiet } });
  if (view.kind !== "plane" && state.zoom) {
    layout.xaxis = { ...layout.xaxis, range: [...state.zoom], ...zoomedTicks(state.zoom) };
  }
  for (const [name, range] of Object.entries(state.zooms[view.id] ?? {})) {
    Object.assign(layout[name], { range: [...range], autorange: false });
  }
  for (const trace of data) {
    if (state.hidden.has(trace.legendgroup)) trace.visible = false;
    if (trace.colorbar) trace.colorbar = { tickfont: { color: quiet }, ...trace.colorbar, title: { ...trace.colorbar.title, font: { color: quiet, size: 12 } } };
  }
  if (view.kind === "plane") fill(data, view);
  return {
    data,
    layout: {
      ...layout,
      margin: { l: leftOf(view), r: data[0]?.colorbar ? 8 : 24, t: 8, b: 40 },
      height: view.height, showlegend: false, hovermode: "closest", dragmode: "zoom", uirevision: view.id,
      font: { family: "system-ui, sans-serif", size: 12, color: quiet },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: panel, bordercolor: css("--line"), font: { color: css("--text"), size: 12 } },
    },
  };
}

function leftOf({ kind, figure }) { // room for names of rows, the same for all numbers
  const names = kind === "epoch" ? figure.layout.yaxis.ticktext : null;
  return names ? 38 + 7.5 * Math.max(...names.map((name) => name.length)) : 62;
}

const place = () => Math.max(state.epoch, INITIALIZATION);
const inWords = (epoch) => `epoch ${epoch.toLocaleString("en")}`;

// ---- views -----------------------------------------------------------------------------------

function drawAll({ force = false } = {}) {
  const answer = state.answer;
  const wanted = new Set(answer.views.map((view) => view.id));
  for (const [id, drawn] of state.drawn) {
    if (!wanted.has(id)) { Plotly.purge(drawn.plot); drawn.section.remove(); state.drawn.delete(id); }
  }
  answer.views.forEach((view, index) => {
    let drawn = state.drawn.get(view.id);
    if (!drawn) state.drawn.set(view.id, (drawn = section(view)));
    if ($("views").children[index] !== drawn.section) $("views").insertBefore(drawn.section, $("views").children[index] ?? null);
    const fresh = drawn.digest !== view.digest || drawn.run !== answer.run;
    if (fresh || force) draw(drawn, view);
  });
  moveFrames();
}

function titled(text) { // α_C, R_M and D_M with their index below the line
  return text.split(/(?<=[αRD])_([CM])\b/).map((part, index) => (
    index % 2 ? Object.assign(document.createElement("sub"), { textContent: part }) : part));
}

function section(view) {
  const element = document.createElement("section");
  const title = element.appendChild(document.createElement("h3"));
  const note = Object.assign(element.appendChild(document.createElement("p")), { className: "note" });
  const legend = Object.assign(element.appendChild(document.createElement("div")), { className: "legend" });
  const plot = Object.assign(element.appendChild(document.createElement("div")), { className: "plot", id: `plot-${view.id}` });
  plot.setAttribute("role", "img");
  title.id = `title-${view.id}`;
  element.setAttribute("aria-labelledby", title.id);
  const cursors = (view.kind === "plane" ? [] : view.kind === "pairs" ? ["x", "y"] : ["x"]).map((side) => {
    const heat = view.figure.data[0]?.type === "heatmap" ? " heat" : "";
    return { side, line: plot.appendChild(Object.assign(document.createElement("div"), { className: `cursor along-${side}${heat}` })) };
  });
  return { section: element, title, note, legend, plot, cursors, started: false };
}

function draw(drawn, view) {
  Object.assign(drawn, { view, digest: view.digest, run: state.answer.run });
  drawn.title.replaceChildren(...titled(view.title));
  drawn.note.textContent = view.note;
  drawn.plot.setAttribute("aria-label", `${view.title}. ${view.note}`);
  drawn.plot.style.height = `${view.height}px`;
  drawLegend(drawn.legend, view.legend);
  const { data, layout } = dressed(view);
  Plotly.react(drawn.plot, data, layout, { displayModeBar: false, responsive: true, doubleClick: false });
  if (!drawn.started) {
    drawn.started = true;
    drawn.plot.on("plotly_relayout", (change) => zoomed(drawn, change));
    drawn.plot.on("plotly_doubleclick", resetZoom);
    drawn.plot.on("plotly_afterplot", () => placeCursors(drawn));
  }
  placeCursors(drawn);
}

function placeCursors({ plot, cursors }) { // elements above the plot: Plotly would redraw it for a line
  for (const { side, line } of cursors) {
    const { x: left, y: top } = { x: plot._fullLayout.xaxis, y: plot._fullLayout.yaxis };
    const axis = side === "x" ? left : top;
    const share = (Math.log10(place()) - axis.range[0]) / (axis.range[1] - axis.range[0]);
    line.hidden = !(share >= 0 && share <= 1);
    const at = axis._offset + axis._length * (side === "x" ? share : 1 - share);
    Object.assign(line.style, side === "x"
      ? { left: `${at}px`, top: `${top._offset}px`, height: `${top._length}px` }
      : { top: `${at}px`, left: `${left._offset}px`, width: `${left._length}px` });
  }
}

function swatch({ color, dash, symbol, band, key }) { // the line and marker of a legend entry
  const marks = {
    circle: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", square: "M-3.5,-3.5h7v7h-7z",
    "triangle-up": "M0,-4.5L4.5,3.5H-4.5z", "triangle-down": "M0,4.5L4.5,-3.5H-4.5z",
    diamond: "M0,-5L5,0L0,5L-5,0z", cross: "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    x: "M-4,-2L-2,-4L0,-2L2,-4L4,-2L2,0L4,2L2,4L0,2L-2,4L-4,2L-2,0z",
  };
  const dashes = { dash: "6 4", dot: "2 3", dashdot: "6 3 2 3" };
  const svg = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [each, value] of Object.entries(attributes)) element.setAttribute(each, value);
    return element;
  };
  const plain = key !== undefined;
  const picture = svg("svg", { width: plain ? 12 : 22, height: 12, viewBox: plain ? "-6 -6 12 12" : "-11 -6 22 12", "aria-hidden": "true" });
  const shown = paint(color);
  if (band) picture.append(svg("rect", { x: -11, y: -5, width: 22, height: 10, fill: shown, opacity: 0.2 }));
  if (!plain) picture.append(svg("line", { x1: -11, x2: 11, y1: 0, y2: 0, stroke: shown, "stroke-width": 2, "stroke-dasharray": dashes[dash] ?? "none" }));
  if (symbol) {
    const hollow = symbol.endsWith("-open");
    picture.append(svg("path", { d: marks[symbol.replace("-open", "")] ?? marks.circle, fill: hollow ? css("--panel") : shown, stroke: shown, "stroke-width": hollow ? 1.5 : 0 }));
  }
  return picture;
}

function drawLegend(element, entries) {
  const focus = element.contains(document.activeElement) ? document.activeElement.dataset.group : null;
  element.hidden = !entries.length;
  element.replaceChildren(...entries.map((entry) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.group = entry.group;
    button.title = "Show or hide";
    button.setAttribute("aria-pressed", String(!state.hidden.has(entry.group)));
    button.append(swatch(entry), document.createTextNode(entry.label));
    button.onclick = () => {
      state.hidden.has(entry.group) ? state.hidden.delete(entry.group) : state.hidden.add(entry.group);
      drawHead();
      drawAll({ force: true });
    };
    return button;
  }));
  if (focus !== null) [...element.children].find((each) => each.dataset.group === focus)?.focus();
}

// ---- zoom: the epoch axis is one for all views ------------------------------------------------

function zoomed(drawn, change) {
  if (!("xaxis.range[0]" in change) && !("yaxis.range[0]" in change)) return; // not by the user
  const range = (axis) => [change[`${axis}.range[0]`], change[`${axis}.range[1]`]].map(Number);
  const own = (state.zooms[drawn.view.id] ??= {});
  if ("yaxis.range[0]" in change) own.yaxis = range("yaxis");
  if ("xaxis.range[0]" in change) {
    if (drawn.view.kind === "plane") own.xaxis = range("xaxis");
    else state.zoom = range("xaxis");
  }
  $("reset").hidden = false;
  drawAll({ force: true });
}

function resetZoom() {
  state.zoom = null;
  state.zooms = {};
  $("reset").hidden = true;
  for (const drawn of state.drawn.values()) drawn.plot._fullLayout && (drawn.plot._fullLayout._preGUI = {});
  drawAll({ force: true });
}

// ---- frames: planes that change with the epoch -----------------------------------------------

function frameEpoch(view) { // the newest map that is not newer than the slider
  const epochs = Object.keys(view.frames).map(Number).sort((a, b) => a - b);
  return epochs.filter((epoch) => epoch <= state.epoch).at(-1) ?? epochs[0];
}

const frameKey = (view, epoch) => `${state.answer.run} ${epoch} ${view.frames[epoch]}`;

function fill(data, view) {
  const frame = state.frames.get(frameKey(view, frameEpoch(view)));
  if (frame) for (const trace of data) Object.assign(trace, frame[trace.meta] ?? { x: [], y: [] });
}

async function moveFrames() {
  for (const drawn of state.drawn.values()) {
    const { view, plot, title } = drawn;
    if (view.kind !== "plane") continue;
    const epoch = frameEpoch(view);
    const frame = await frameOf(view, epoch);
    if (!frame || state.drawn.get(view.id) !== drawn || drawn.view !== view || epoch !== frameEpoch(view)) continue;
    title.replaceChildren(...titled(`${view.title} at ${inWords(epoch)}`));
    if (plot.shown === frame && drawn.filled === drawn.digest) continue;
    Object.assign(plot, { shown: frame });
    drawn.filled = drawn.digest;
    const traces = plot.data.map((trace) => frame[trace.meta] ?? { x: [], y: [] });
    Plotly.restyle(plot, { x: traces.map(({ x }) => x), y: traces.map(({ y }) => y) });
  }
}

async function frameOf(view, epoch) {
  const key = frameKey(view, epoch);
  if (!state.frames.has(key)) {
    const frame = await source.frame(state.answer.run, epoch).catch(() => null);
    if (!frame) return null;
    if (state.frames.size > 1000) state.frames.clear();
    state.frames.set(key, frame);
  }
  return state.frames.get(key);
}

async function fetchFrames() { // ahead of the slider, one after the other
  const answer = state.answer;
  for (const view of answer.views.filter((each) => each.kind === "plane")) {
    for (const epoch of Object.keys(view.frames)) {
      if (state.answer !== answer) return;
      await frameOf(view, Number(epoch));
    }
  }
}
