"use strict";
// What all scripts of the page share.

const $ = (id) => document.getElementById(id);
const INITIALIZATION = 10 ** -0.4; // where epoch 0 stands, times where the axis begins

const state = { // the first block is what the address says (address.js)
  page: "", run: "", layer: "", by: "setup", // what is asked for
  ticked: new Set(), filter: "", sort: "", columns: [], // of runs
  keys: [], find: "", full: "", // of charts: those added, what is looked for, the one that is large
  unit: "epoch", linear: false, smooth: 0, flipped: new Set(), // of axes and lines
  epoch: 0, follow: true, // of the slider; it follows the newest epoch until it is moved
  zoom: null, zooms: Object.create(null), // ranges the user chose: of the epoch axis, of other axes by view
  hidden: new Set(), // groups of traces that are switched off
  list: null, rows: [], table: null, looked: 0, answer: null, // what was answered
  hover: null, playing: 0, pressed: false, drawn: new Map(), frames: new Map(), changed: "never", failures: 0,
};
