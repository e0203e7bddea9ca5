// Items by state, of a fold or a container: in words, and as a strip of colours.
import { stateOf } from "./states.js";

const ENDED = new Set(["completed", "skipped", "cancelled", "failed", "error"]);
const BAD = ["failed", "error", "needs_attention"];
const OF_RUNS = new Set(["completed", "skipped", "cancelled", "failed", "pending", "running", "waiting", "needs_attention"]);

function total(counts, states) {
  return states.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
}

/** How many of the items ended, and how many need somebody; empty for states that do not end. */
export function countsInShort(counts) {
  const states = Object.keys(counts);
  const bad = total(counts, BAD);
  if (!states.some((state) => OF_RUNS.has(state))) return bad ? `${bad} failed` : "";
  const all = total(counts, states);
  const done = total(counts, states.filter((state) => ENDED.has(state)));
  return `${done}/${all}${bad ? ` · ${bad} failed` : ""}`;
}

/** Every state with its number, as a reader hears it. */
export function countsInWords(counts) {
  return Object.entries(counts)
    .filter(([state]) => !stateOf(state).quiet)
    .map(([state, number]) => `${number} ${stateOf(state).word}`)
    .join(", ");
}

const WIDTH = 148;
const HEIGHT = 5;
const images = new Map();

/** A strip of colours, as long as the states are frequent, as an image address. */
export function countsImage(counts, ranking, theme) {
  const key = `${JSON.stringify(counts)} ${theme.signature}`;
  if (!images.has(key)) {
    if (images.size > 500) images.clear();
    images.set(key, draw(counts, ranking, theme));
  }
  return images.get(key);
}

function draw(counts, ranking, theme) {
  const states = Object.keys(counts).filter((state) => counts[state] > 0);
  states.sort((left, right) => ranking.indexOf(right) - ranking.indexOf(left));
  const all = total(counts, states);
  let x = 0;
  const parts = states.map((state) => {
    const width = (counts[state] / all) * WIDTH;
    const part = `<rect x="${x.toFixed(2)}" width="${Math.max(1.5, width).toFixed(2)}" height="${HEIGHT}" fill="${theme.families[stateOf(state).family].line}"/>`;
    x += width;
    return part;
  });
  return `data:image/svg+xml;utf8,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}">${parts.join("")}</svg>`,
  )}`;
}
