"use strict";
// Figures on the page: a section for each view of the answer, with its legend and the line of the
// epoch in it. A redraw keeps zoom, hidden lines and epoch.

// ---- views -----------------------------------------------------------------------------------

function wantedViews() { // those that are looked for
  const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (view) => [view.title, view.note, ...view.sources.map(([, , key]) => key)].join(" ").toLowerCase();
  return state.answer.views.filter((view) => words.every((word) => text(view).includes(word)));
}

function drawAll({ force = false } = {}) {
  const answer = state.answer, views = wantedViews();
  const wanted = new Set(views.map((view) => view.id));
  if (state.full && !wanted.has(state.full)) state.full = "";
  for (const [id, drawn] of state.drawn) {
    if (!wanted.has(id)) { Plotly.purge(drawn.plot); drawn.section.remove(); state.drawn.delete(id); }
  }
  views.forEach((view, index) => {
    let drawn = state.drawn.get(view.id);
    if (!drawn) state.drawn.set(view.id, (drawn = section(view)));
    if ($("views").children[index] !== drawn.section) $("views").insertBefore(drawn.section, $("views").children[index] ?? null);
    const fresh = drawn.digest !== view.digest || drawn.run !== answer.run;
    if (fresh || force) draw(drawn, view);
  });
  document.body.classList.toggle("full", Boolean(state.full));
  moveFrames();
}

function titled(text) { // α_C, R_M and D_M with their index below the line
  return text.split(/(?<=[αRD])_([CM])\b/).map((part, index) => (
    index % 2 ? Object.assign(document.createElement("sub"), { textContent: part }) : part));
}

function section(view) {
  const element = document.createElement("section");
  const head = element.appendChild(document.createElement("header"));
  const title = head.appendChild(document.createElement("h3"));
  const menu = head.appendChild(chartMenu(view.id));
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
  return { section: element, title, note, legend, plot, menu, cursors, started: false };
}

function draw(drawn, view) {
  Object.assign(drawn, { view, digest: view.digest, run: state.answer.run });
  drawn.section.classList.toggle("full", state.full === view.id);
  drawn.section.classList.toggle("wide", state.answer.page === "compare" && view.height > 300);
  drawn.title.replaceChildren(...titled(view.title));
  drawn.note.textContent = view.note;
  drawn.plot.setAttribute("aria-label", `${view.title}. ${view.note}`);
  drawn.plot.style.height = `${heightOf(view)}px`;
  drawLegend(drawn.legend, legendOf(view));
  const { data, layout } = dressed(view);
  Plotly.react(drawn.plot, data, layout, { displayModeBar: false, responsive: true, doubleClick: false });
  if (!drawn.started) {
    drawn.started = true;
    drawn.plot.on("plotly_relayout", (change) => zoomed(drawn, change));
    drawn.plot.on("plotly_doubleclick", resetZoom);
    drawn.plot.on("plotly_afterplot", () => placeCursors(drawn));
    if (view.kind !== "plane") followPointer(drawn);
  }
  placeCursors(drawn);
  drawn.lines = linesOf(view, drawn.legend);
  drawValues(drawn);
}

function placeCursors({ plot, cursors }) { // elements above the plot: Plotly would redraw it for a line
  for (const { side, line } of cursors) {
    const { x: left, y: top } = { x: plot._fullLayout.xaxis, y: plot._fullLayout.yaxis };
    const axis = side === "x" ? left : top;
    const share = (along(place()) - axis.range[0]) / (axis.range[1] - axis.range[0]);
    line.hidden = !(share >= 0 && share <= 1);
    const at = axis._offset + axis._length * (side === "x" ? share : 1 - share);
    Object.assign(line.style, side === "x"
      ? { left: `${at}px`, top: `${top._offset}px`, height: `${top._length}px` }
      : { top: `${at}px`, left: `${left._offset}px`, width: `${left._length}px` });
  }
}

function followPointer({ plot }) { // the line of the epoch goes with the pointer, in all figures
  let waiting = 0;
  const hover = (epoch) => {
    state.hover = epoch;
    waiting ||= requestAnimationFrame(() => { waiting = 0; moveCursors(); });
  };
  const epochUnder = (event) => {
    const axis = plot._fullLayout.xaxis, x = event.clientX - plot.getBoundingClientRect().left - axis._offset;
    const epoch = epochAt(axis.range[0] + (x / axis._length) * (axis.range[1] - axis.range[0]));
    return x >= 0 && x <= axis._length && epoch >= 0 ? epoch : null;
  };
  plot.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") hover(epochUnder(event)); });
  plot.addEventListener("pointerleave", () => hover(null));
  let pressed = null; // a click takes the slider there, a drag zooms
  plot.addEventListener("pointerdown", (event) => { pressed = event.button === 0 ? [event.clientX, event.clientY] : null; }, true);
  addEventListener("pointerup", (event) => {
    const still = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 4;
    const epoch = still ? epochUnder(event) : null;
    pressed = null;
    if (epoch !== null) setEpoch(Math.max(state.answer.epochs.filter((each) => each <= epoch).length - 1, 0));
  }, true);
}

function inShort(value) { // four digits or so: 59,000, 9,144.2, 0.576, 0.00870, 9.75e-6
  const size = Math.abs(value);
  if (value === null) return "–";
  if (size < 1e6 && (size >= 0.1 || value === 0)) return value.toLocaleString("en", { maximumFractionDigits: size < 1e4 ? 3 : 0 });
  return size >= 1e-3 && size < 1 ? value.toPrecision(3) : value.toExponential(2).replace("+", "");
}

function linesOf(view, legend) { // buttons of a legend with the curve that each stands for
  const curves = view.figure.data.filter(isCurve);
  return [...legend.children].map((button) => {
    const group = curves.filter((each) => each.legendgroup === button.dataset.group);
    return [button.querySelector("output"), group.find((each) => plainText(each.name) === button.dataset.label) ?? group[0]];
  });
}

function drawValues({ lines }) { // what every line is at the epoch of the line across all figures
  for (const [output, curve] of lines) output.textContent = curve ? inShort(valueAt(curve, place())) : "";
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

function legendOf(view) { // of a comparison the numbers of the one legend above
  if (view.legend.length || !state.answer.legend) return view.legend;
  const groups = new Set(view.figure.data.filter(isCurve).map((trace) => trace.legendgroup));
  return numbered(state.answer.legend).filter(({ group }) => groups.has(group)).map((entry) => ({ ...entry, label: entry.number, name: entry.label }));
}

const numbered = (legend) => legend.map((entry, index) => ({ ...entry, number: String(index + 1), label: `${index + 1}  ${entry.label}` }));

function drawLegend(element, entries) { // one stop of the Tab key: arrows go from line to line
  element.hidden = !entries.length;
  element.setAttribute("role", "toolbar");
  const version = JSON.stringify(entries) + darkness.matches;
  if (element.dataset.version !== version) {
    element.dataset.version = version;
    element.replaceChildren(...entries.map((entry, index) => {
      const button = Object.assign(document.createElement("button"), { type: "button", tabIndex: index ? -1 : 0 });
      Object.assign(button.dataset, { group: entry.group, label: entry.name ?? entry.label });
      button.title = `${entry.name ? `${entry.name}. ` : ""}Click: show or hide. Double-click, or Shift and click: this one alone.`;
      button.append(swatch(entry), document.createTextNode(entry.label), document.createElement("output"));
      button.onclick = (event) => (event.shiftKey ? isolate(element, entry.group) : toggleLine(entry.group));
      button.ondblclick = (event) => { if (!event.shiftKey) isolate(element, entry.group); };
      return button;
    }));
  }
  for (const button of element.children) button.setAttribute("aria-pressed", String(!state.hidden.has(button.dataset.group)));
}

function toggleLine(group) {
  state.hidden.has(group) ? state.hidden.delete(group) : state.hidden.add(group);
  redraw();
}

function isolate(element, group) { // or all again, where it is alone already
  const others = [...element.children].map((button) => button.dataset.group).filter((each) => each !== group);
  const alone = others.every((each) => state.hidden.has(each));
  state.hidden.delete(group);
  for (const each of others) alone ? state.hidden.delete(each) : state.hidden.add(each);
  redraw();
}

function redraw() {
  drawHead();
  drawAll({ force: true });
  remember();
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
  redraw();
}

function resetZoom() {
  state.zoom = null;
  state.zooms = Object.create(null);
  $("reset").hidden = true;
  for (const drawn of state.drawn.values()) drawn.plot._fullLayout && (drawn.plot._fullLayout._preGUI = {});
  redraw();
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
