// The states of a node: a word, a shape and a colour family each, so that no state is told by colour alone.

const SHAPES = {
  dot: '<circle cx="8" cy="8" r="5" fill="C"/>',
  ring: '<circle cx="8" cy="8" r="4.5" fill="none" stroke="C" stroke-width="2"/>',
  play: '<path d="M4 2.5v11l9.5-5.5z" fill="C"/>',
  clock: '<circle cx="8" cy="8" r="6" fill="none" stroke="C" stroke-width="2"/><path d="M8 4.5V8l2.5 2" fill="none" stroke="C" stroke-width="2"/>',
  check: '<path d="M2.5 8.5l4 4 7-8.5" fill="none" stroke="C" stroke-width="2.6"/>',
  cross: '<path d="M3 3l10 10M13 3L3 13" fill="none" stroke="C" stroke-width="2.6"/>',
  alarm: '<path d="M8 1L15.5 14.5H.5z" fill="C"/><path d="M8 6v4M8 11.6v1.6" stroke="B" stroke-width="1.8"/>',
  slash: '<circle cx="8" cy="8" r="5.5" fill="none" stroke="C" stroke-width="2"/><path d="M4 12L12 4" stroke="C" stroke-width="2"/>',
  dashes: '<path d="M2 8h3M6.5 8h3M11 8h3" stroke="C" stroke-width="2.6"/>',
  stop: '<rect x="3.5" y="3.5" width="9" height="9" fill="C"/>',
  none: "",
  question: '<text x="8" y="13" font-size="13" font-family="sans-serif" font-weight="bold" text-anchor="middle" fill="C">?</text>',
};

export const STATES = {
  active: { word: "active", shape: "play", family: "green" },
  running: { word: "running", shape: "play", family: "blue" },
  waiting: { word: "waiting", shape: "clock", family: "yellow" },
  idle: { word: "idle", shape: "ring", family: "gray" },
  completed: { word: "completed", shape: "check", family: "green" },
  failed: { word: "failed", shape: "cross", family: "red" },
  error: { word: "error", shape: "alarm", family: "red" },
  needs_attention: { word: "needs attention", shape: "alarm", family: "orange" },
  offline: { word: "offline", shape: "slash", family: "gray" },
  pending: { word: "pending", shape: "dot", family: "gray" },
  defined: { word: "", shape: "none", family: "gray", quiet: true },
  skipped: { word: "skipped", shape: "dashes", family: "gray" },
  cancelled: { word: "cancelled", shape: "stop", family: "orange" },
};

export const BUSY = new Set(["active", "running"]);

/** The state's looks; one we do not know keeps its own word and gets a question mark. */
export function stateOf(name) {
  return STATES[name] ?? { word: String(name), shape: "question", family: "gray" };
}

/** The state's shape as an image address, drawn in `color` on `background`. */
export function shapeImage(name, color, background) {
  const body = SHAPES[stateOf(name).shape].replaceAll("C", color).replaceAll("B", background);
  return `data:image/svg+xml;utf8,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32" viewBox="0 0 16 16">${body}</svg>`,
  )}`;
}
