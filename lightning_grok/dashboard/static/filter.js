"use strict";
// The filter of runs: words, "several words", /regular expression/, key=value (also != < > <= >=),
// each with - before it for runs that don't match; all of them must hold.

const TERM = /([-!]?)(?:\/((?:\\.|[^\/])+)\/|((?:[^\s"]|"[^"]*")+))/g;
const COMPARED = /^([^=<>!]+)(!=|<=|>=|=|<|>)(.*)$/;

function termsOf(filter) {
  return [...filter.matchAll(TERM)].map(([, not, pattern, word]) => {
    const term = { not: Boolean(not), text: (pattern ?? word).replaceAll('"', "").toLowerCase() };
    if (pattern !== undefined) {
      try { term.pattern = new RegExp(pattern, "i"); } catch { /* not finished yet: as text */ }
    }
    const compared = pattern === undefined ? word.replaceAll('"', "").match(COMPARED) : null;
    if (compared) [, term.key, term.sign, term.value] = compared;
    return term;
  });
}

function valuesOf(row, name) { // of a run under a key, or the end of one: what has no such key has none
  const mark = markOf(row.id), { settings = {}, final = {} } = state.table?.[row.id] ?? {};
  if (name === "tag") return mark.tags ?? [];
  for (const place of [row, settings, final]) if (Object.hasOwn(place, name)) return [place[name]];
  return Object.keys(settings).filter((key) => key.endsWith(`.${name}`)).map((key) => settings[key]);
}

function fits(found, sign, wanted) {
  const numbers = [found, wanted].map((each) => (each === "" || each === null || typeof each === "boolean" ? NaN : Number(each)));
  const numeric = numbers.every((each) => !Number.isNaN(each));
  const [a, b] = numeric ? numbers : [found, wanted].map((each) => String(each).toLowerCase());
  switch (sign) {
    case "=": return a === b;
    case "!=": return a !== b;
    case "<": return numeric && a < b;
    case ">": return numeric && a > b;
    case "<=": return numeric && a <= b;
    default: return numeric && a >= b;
  }
}

function matches(row, terms) {
  const mark = markOf(row.id);
  const marked = ["pinned", "hidden", "archived"].filter((each) => mark[each]);
  const text = [row.name, row.id, row.dataset, row.setup, row.state, mark.name, mark.note, ...(mark.tags ?? []), ...marked].join(" ");
  return terms.every(({ not, text: word, pattern, known, key, sign, value }) => {
    const holds = known
      ? valuesOf(row, key).some((found) => fits(found, sign, value)) || (sign === "!=" && !valuesOf(row, key).length)
      : pattern ? pattern.test(text) : text.toLowerCase().includes(word);
    return holds !== not;
  });
}

const asksForTable = (filter) => /[=<>]/.test(filter);

function shownRows() { // pinned ones first; archived ones only where the filter names them
  const terms = termsOf(state.filter);
  for (const term of terms) { // what no run has a value of is a word with a sign in it
    term.known = term.key === "tag" || Boolean(term.key && state.rows.some((row) => valuesOf(row, term.key).length));
  }
  const asked = terms.some(({ text, not }) => text === "archived" && !not);
  const rows = state.rows.filter((row) => (asked || !markOf(row.id).archived) && matches(row, terms));
  return [...rows.filter((row) => markOf(row.id).pinned), ...rows.filter((row) => !markOf(row.id).pinned)];
}

const markOf = (run) => (state.list && Object.hasOwn(state.list.marks, run) ? state.list.marks[run] : {});
const nameOf = (row) => markOf(row.id).name || (row.id === "." || !row.id.endsWith(row.name) ? row.name : row.id);
