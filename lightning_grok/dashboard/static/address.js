"use strict";
// The address is the view: what is asked for and how it is looked at stands behind the #, so that
// Back, a reload and a copied link come to the same sight. It may come from anybody: what it says is
// compared with what there is, or used as text and numbers only.

const WORDS = { page: "page", run: "run", layer: "layer", by: "by", filter: "filter", sort: "sort", find: "find", unit: "unit", full: "full" };
const SETS = { tick: "ticked", hide: "hidden", flip: "flipped" };
const LISTS = { chart: "keys", column: "columns" };
const USUAL = { by: "setup", unit: "epoch" };
const UNITS = ["epoch", "step", "second"];
const PAGES = ["runs", "run", "classes", "config", "compare"];
const PLACES = ["page", "run", "layer", "by", "tick", "zoom", "range", "full", "chart", "unit"]; // a change of these is a step back to

function address() {
  const words = new URLSearchParams();
  for (const [word, name] of Object.entries(WORDS)) {
    if (state[name] && state[name] !== USUAL[name]) words.append(word, state[name]);
  }
  for (const [word, name] of Object.entries(SETS)) for (const each of state[name]) words.append(word, each);
  for (const [word, name] of Object.entries(LISTS)) for (const each of state[name]) words.append(word, each);
  if (state.linear) words.append("axis", "linear");
  if (state.smooth) words.append("smooth", state.smooth);
  if (!state.follow) words.append("epoch", state.epoch);
  const short = (range) => range.map((end) => +end.toPrecision(6)).join();
  if (state.zoom) words.append("zoom", short(state.zoom));
  for (const [view, own] of Object.entries(state.zooms)) {
    for (const [axis, range] of Object.entries(own)) words.append("range", `${view} ${axis} ${short(range)}`);
  }
  return `#${words}`;
}

function readAddress() {
  const words = new URLSearchParams(location.hash.slice(1));
  const ends = (text) => {
    const range = text.split(",").map(Number);
    return range.length === 2 && range.every(Number.isFinite) ? range : null;
  };
  for (const [word, name] of Object.entries(WORDS)) state[name] = words.get(word) ?? USUAL[name] ?? "";
  for (const [word, name] of Object.entries(SETS)) state[name] = new Set(words.getAll(word));
  for (const [word, name] of Object.entries(LISTS)) state[name] = words.getAll(word);
  if (!UNITS.includes(state.unit)) state.unit = "epoch";
  if (!PAGES.includes(state.page)) state.page = "";
  state.linear = words.get("axis") === "linear";
  state.smooth = Math.min(Math.max(Number(words.get("smooth")) || 0, 0), 0.99);
  state.follow = !/^\d+(\.\d+)?$/.test(words.get("epoch") ?? "");
  if (!state.follow) state.epoch = Number(words.get("epoch"));
  state.zoom = words.has("zoom") ? ends(words.get("zoom")) : null;
  state.zooms = Object.create(null);
  for (const each of words.getAll("range")) {
    const [view, axis, text] = each.split(" ");
    const range = ends(text ?? "");
    if (range && ["xaxis", "yaxis"].includes(axis)) (state.zooms[view] ??= {})[axis] = range;
  }
}

let remembering = 0;

function remember() { // soon: a slider that moves would exceed what a browser lets be written
  clearTimeout(remembering);
  remembering = setTimeout(rememberNow, 250);
}

function rememberNow() {
  clearTimeout(remembering);
  remembering = 0;
  const next = address();
  if (next === location.hash || (next === "#" && !location.hash)) return;
  const [before, after] = [location.hash, next].map((hash) => new URLSearchParams(hash.slice(1)));
  const moved = PLACES.some((word) => before.getAll(word).join("\n") !== after.getAll(word).join("\n"));
  history[moved && location.hash ? "pushState" : "replaceState"](null, "", next);
}

addEventListener("pagehide", rememberNow);
addEventListener("popstate", () => {
  clearTimeout(remembering);
  readAddress();
  drawChoices();
  load({ back: true });
});

async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    announce(`${what} copied.`);
  } catch {
    showText(what, text); // to be copied by hand
  }
}
