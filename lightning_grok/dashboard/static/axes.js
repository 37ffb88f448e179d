"use strict";
// Figures as they are drawn: the theme of the system, and the axes, zoom, hidden lines and smoothing
// that `state` (page.js) holds. What the server sends is in epochs on a logarithmic axis.

const darkness = matchMedia("(prefers-color-scheme: dark)");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const partner = (pairs, color) => (pairs && Object.hasOwn(pairs, color) ? pairs[color] : undefined);
const paint = (color) => (darkness.matches && (partner(state.answer?.dark, color) ?? partner(state.list?.dark, color))) || color;

function repainted(value) { // a copy in the colors of the theme; lists of numbers are shared
  if (typeof value === "string") return paint(value);
  if (Array.isArray(value)) return typeof value[0] === "object" && value[0] ? value.map(repainted) : value;
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, repainted(each)]));
  }
  return value;
}

// ---- epochs, steps or seconds; logarithmic or linear -------------------------------------------

const hasUnit = (unit) => unit === "epoch" || Object.values(state.answer?.clock ?? {}).some((clock) => clock[unit]);
const unit = () => (hasUnit(state.unit) ? state.unit : "epoch");

function pace(group) { // units of the axis in an epoch, of a line of that group
  if (unit() === "epoch") return 1;
  const clock = state.answer.clock;
  return (clock[group] ?? clock[""])?.[state.unit] ?? NaN;
}

const paces = () => {
  const all = Object.keys(state.answer.clock ?? { "": 0 }).map(pace).filter(Number.isFinite);
  return all.length ? [Math.min(...all), Math.max(...all)] : [1, 1];
};

const first = () => state.answer.first ?? 1; // where the axis begins right of its break

function placed(x, rate) { // a place on the server's axis on the one that is drawn
  if (x === null) return null;
  return state.linear && x < 0.7 * first() ? 0 : x * rate;
}

function along(epoch) { // the coordinate of an epoch on the axis that is drawn
  const x = placed(Math.max(epoch, INITIALIZATION * first()), pace(""));
  return state.linear ? x : Math.log10(x);
}

function epochAt(coordinate) { // the other way round
  const x = (state.linear ? coordinate : 10 ** coordinate) / pace("");
  return x < 0.7 * first() ? 0 : first() < 1 ? x : Math.round(x);
}

function ticksOf([low, high], rate) { // finer labels where the axis shows less than three decades
  const digits = high - low < 1.1 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : high - low < 2.6 ? [1, 2, 5] : [1];
  const values = [INITIALIZATION * first() * rate], names = ["0"];
  for (let power = Math.floor(Math.log10(first() * rate) + 1e-9); power <= Math.ceil(high); power++) {
    for (const digit of digits) {
      if (digit * 10 ** power < 0.99 * first() * rate) continue;
      values.push(digit * 10 ** power);
      names.push((digit * 10 ** power).toLocaleString("en", { maximumSignificantDigits: 3 }));
    }
  }
  return { tickvals: values, ticktext: names };
}

function extent(data) { // of positive values, in decades
  let [low, high] = [Infinity, -Infinity];
  for (const trace of data) {
    if (trace.visible === false) continue;
    for (const value of trace.y) if (value > 0) [low, high] = [Math.min(low, value), Math.max(high, value)];
  }
  return [Math.log10(low), Math.log10(high)];
}

function valueTicks([low, high]) { // of a logarithmic axis: Plotly's own may be a single one
  const span = high - low, step = span > 6 ? 2 : 1, tickvals = [];
  if (!(span > 0.15)) return {};
  const digits = span > 2 ? [1] : span > 0.7 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  for (let power = step * Math.floor(low / step); power <= high + 1; power += step) {
    for (const digit of digits) tickvals.push(Number(`${digit}e${power}`));
  }
  return { tickvals, ticktext: tickvals.map(shortly) };
}

function shortly(value, _, all) { // 0.002, 500; 10⁻⁵, but 2e−5 where there is no room for 2×10⁻⁵
  const [digit, power] = value.toExponential().replace("-", "−").replace("+", "").split("e");
  if (value >= 0.001 && value < 1e4) return String(value);
  return all.some((each) => !each.toExponential().startsWith("1e")) ? `${digit}e${power}` : `10<sup>${power}</sup>`;
}

function epochAxis(axis) {
  const [slow, fast] = paces();
  const [low, high] = axis.range;
  const title = { ...axis.title, text: { epoch: "epoch", step: "step", second: "seconds of training (at the mean pace)" }[unit()] };
  if (state.linear) {
    const { tickvals, ticktext, minor, ...rest } = axis;
    const last = 10 ** high * fast;
    return { ...rest, title, type: "linear", range: state.zoom ?? [-0.02 * last, last] };
  }
  const range = state.zoom ?? [low + Math.log10(slow), high + Math.log10(fast)];
  const own = state.zoom || unit() !== "epoch" ? ticksOf(range, slow) : {};
  return { ...axis, title, range: [...range], ...own, ...(unit() === "epoch" ? {} : { minor: undefined }) };
}

function movedMarks(layout, sides) { // events and breaks of the axis, along with it
  const rate = pace("");
  for (const shape of layout.shapes ?? []) {
    for (const side of sides) {
      if (shape[`${side}ref`] === side) for (const end of ["0", "1"]) shape[side + end] = placed(shape[side + end], rate);
    }
  }
  const shift = Math.log10(paces()[0]);
  layout.annotations = (layout.annotations ?? []).filter(() => !state.linear).map((mark) => {
    const side = mark.xref === "x" ? "x" : "y";
    return { ...mark, [side]: mark[side] + shift };
  });
}

// ---- lines ---------------------------------------------------------------------------------------

const isCurve = (trace) => trace.customdata && trace.mode === "lines+markers";

function smoothed(trace) { // the line over itself: a debiased exponential moving average of its points
  const keep = state.smooth;
  let sum = 0, weight = 0;
  const y = trace.y.map((value, index) => {
    if (value === null || trace.customdata[index] === 0) return value;
    sum = keep * sum + (1 - keep) * value;
    weight = keep * weight + 1 - keep;
    return sum / weight;
  });
  const raw = { ...trace, opacity: 0.3, line: { ...trace.line, width: 1 }, showlegend: false, raw: true };
  return [raw, { ...trace, y, line: { ...trace.line, width: 2.2 }, mode: "lines" }];
}

function valueAt(trace, epoch) { // of a curve, at the newest epoch that is not newer
  const at = trace.customdata;
  let low = 0, high = at.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    at[middle] <= epoch ? (low = middle + 1) : (high = middle);
  }
  while (low > 0 && trace.y[low - 1] === null) low--;
  return low ? trace.y[low - 1] : null;
}

// ---- the figure ----------------------------------------------------------------------------------

function dressed(view) {
  let { data, layout } = repainted(view.figure);
  layout = { ...layout };
  const quiet = css("--quiet"), grid = css("--grid"), panel = css("--panel"), line = css("--line");
  const axis = {
    gridcolor: grid, linecolor: line, zerolinecolor: grid, tickcolor: line,
    ticks: "outside", ticklen: 4, automargin: false, showline: true, exponentformat: "power", ticklabeloverflow: "allow", tickangle: 0,
  };
  const sides = { epoch: ["x"], pairs: ["x", "y"], plane: [] }[view.kind];
  for (const name of ["xaxis", "yaxis"]) {
    let own = { ...axis, ...layout[name] };
    if (sides.includes(name[0])) own = epochAxis(own);
    own.title = { standoff: name === "yaxis" ? 3 : 6, font: { size: 12.5, color: quiet }, ...own.title };
    if (name === "yaxis") own.automargin = "left"; // numbers such as 0.02965 beside the title
    if (own.minor) own.minor = { ticks: "outside", ticklen: 2, tickcolor: line, ...own.minor };
    layout[name] = own;
  }
  if (state.flipped.has(view.id)) {
    const { range, rangemode, ...rest } = layout.yaxis;
    layout.yaxis = { ...rest, type: rest.type === "log" ? "linear" : "log" };
  }
  if (sides.length) {
    movedMarks(layout, sides);
    data = data.map((trace) => ({ ...trace, x: trace.x.map((x) => placed(x, pace(trace.legendgroup))), ...(view.kind === "pairs" ? { y: trace.y.map((y) => placed(y, pace(""))) } : {}) }));
  }
  for (const mark of layout.annotations ?? []) Object.assign(mark, { bgcolor: panel, font: { ...mark.font, color: quiet } });
  for (const [name, range] of Object.entries(state.zooms[view.id] ?? {})) {
    Object.assign(layout[name], { range: [...range], autorange: false });
  }
  for (const trace of data) {
    if (state.hidden.has(trace.legendgroup)) trace.visible = false;
    if (trace.colorbar) trace.colorbar = { tickfont: { color: quiet }, exponentformat: "power", ...trace.colorbar, title: { ...trace.colorbar.title, font: { color: quiet, size: 12 } } };
  }
  if (view.kind === "epoch" && layout.yaxis.type === "log") Object.assign(layout.yaxis, valueTicks(state.zooms[view.id]?.yaxis ?? extent(data)));
  if (state.smooth) data = data.flatMap((trace) => (isCurve(trace) ? smoothed(trace) : [trace]));
  if (view.kind === "plane") fill(data, view);
  return {
    data,
    layout: {
      ...layout,
      margin: { l: leftOf(view), r: data[0]?.colorbar ? 8 : 24, t: 8, b: 40 },
      height: heightOf(view), showlegend: false, hovermode: "closest", dragmode: "zoom", uirevision: view.id,
      font: { family: "system-ui, sans-serif", size: 12, color: quiet },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: panel, bordercolor: line, font: { color: css("--text"), size: 12 } },
    },
  };
}

function leftOf({ kind, figure }) { // room for names of rows, the same for all numbers
  const names = kind === "epoch" ? figure.layout.yaxis.ticktext : null;
  return names ? 38 + 7.5 * Math.max(...names.map((name) => name.length)) : 62;
}

const heightOf = (view) => (state.full === view.id ? Math.max(view.height, innerHeight - 190) : view.height);
const place = () => state.hover ?? state.epoch;
const inWords = (epoch) => `epoch ${epoch.toLocaleString("en", { maximumFractionDigits: 4 })}`;
