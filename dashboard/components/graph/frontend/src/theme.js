// Streamlit's theme as plain colours, and cytoscape's style made of it.
import { MAP_CSS } from "./minimap.js";
import { stateOf, shapeImage } from "./states.js";

const FAMILIES = ["red", "orange", "yellow", "blue", "green", "gray", "violet"];
const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** A colour as [red, green, blue, alpha]; null when the browser does not know it. */
function parse(color) {
  if (!color || color === "unset" || !CSS.supports("color", color)) return null;
  pen.clearRect(0, 0, 1, 1);
  pen.fillStyle = color;
  pen.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
  return [red, green, blue, alpha / 255];
}

/** `color` laid over `below`, without transparency. */
function solid(color, below) {
  const top = parse(color);
  const ground = parse(below) ?? [255, 255, 255, 1];
  if (!top) return null;
  const mix = (index) => Math.round(top[index] * top[3] + ground[index] * (1 - top[3]));
  return `rgb(${mix(0)}, ${mix(1)}, ${mix(2)})`;
}

/** Reads the theme from the variables that Streamlit sets on `host`. */
export function readTheme(host) {
  const style = getComputedStyle(host);
  const get = (name) => style.getPropertyValue(`--st-${name}`).trim();
  const background = solid(get("background-color"), "white") ?? "rgb(255, 255, 255)";
  const text = solid(get("text-color"), background) ?? "rgb(49, 51, 63)";
  const [red, green, blue] = parse(background);
  const theme = {
    background,
    text,
    dark: red * 0.3 + green * 0.6 + blue * 0.1 < 128,
    surface: solid(get("secondary-background-color"), background) ?? background,
    border: solid(get("border-color"), background) ?? text,
    primary: solid(get("primary-color"), background) ?? text,
    font: get("font") && get("font") !== "unset" ? get("font") : "sans-serif",
    families: {},
  };
  for (const family of FAMILIES) {
    theme.families[family] = {
      ink: solid(get(`${family}-text-color`), background) ?? solid(get(`${family}-color`), background) ?? text,
      line: solid(get(`${family}-color`), background) ?? text,
      fill: solid(get(`${family}-background-color`), background) ?? background,
    };
  }
  theme.signature = JSON.stringify(theme);
  return theme;
}

const images = new Map();

export function stateImage(state, theme) {
  const { family } = stateOf(state);
  const key = `${state} ${theme.signature}`;
  if (!images.has(key)) {
    if (images.size > 100) images.clear();
    images.set(key, shapeImage(state, theme.families[family].ink, theme.families[family].fill));
  }
  return images.get(key);
}

export const NODE_WIDTH = 168;
export const NODE_HEIGHT = 48;
export const TOGGLE_HEIGHT = 28;
const NOTHING = "data:image/svg+xml;utf8,%3Csvg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/%3E";

/** Cytoscape's style for `theme`. */
export function styleFor(theme) {
  const family = (node) => theme.families[stateOf(node.data("state")).family];
  return [
    {
      selector: "node.leaf",
      style: {
        "z-index-compare": "manual",
        "z-index": 20,
        shape: "round-rectangle",
        width: NODE_WIDTH,
        height: NODE_HEIGHT,
        "background-color": (node) => family(node).fill,
        "background-image": (node) => [node.data("iconImage") || NOTHING, stateImage(node.data("state"), theme), node.data("strip") || NOTHING],
        "background-width": ["20px", "14px", "148px"],
        "background-height": ["20px", "14px", "5px"],
        "background-position-x": ["10px", "148px", "10px"],
        "background-position-y": ["50%", "6px", "40px"],
        "border-width": 1.5,
        "border-color": (node) => family(node).line,
        "border-style": (node) => (["pending", "skipped", "offline"].includes(node.data("state")) ? "dashed" : "solid"),
        label: "data(text)",
        color: theme.text,
        "font-family": theme.font,
        "font-size": 12,
        "line-height": 1.25,
        "text-wrap": "wrap",
        "text-max-width": 130,
        "text-valign": "center",
        // A label to the right of the node, pulled back into it, starts at the same place in every node.
        "text-halign": "right",
        "text-justification": "left",
        "text-margin-x": (node) => (node.data("iconImage") ? 38 : 12) - NODE_WIDTH,
        "min-zoomed-font-size": 5,
      },
    },
    { selector: "node.folded", style: { shape: "cut-rectangle", "border-style": "double", "border-width": 4 } },
    {
      selector: "node.box",
      style: {
        "z-index-compare": "manual",
        "z-index": "data(depth)",
        shape: "round-rectangle",
        "corner-radius": 10,
        width: "data(width)",
        height: "data(height)",
        "background-color": theme.surface,
        "background-opacity": 0.55,
        "border-width": 1.5,
        "border-color": (node) => (node.data("state") ? family(node).line : theme.border),
      },
    },
    { selector: "node.box.passive", style: { events: "no" } },
    {
      selector: "node.toggle",
      style: {
        "z-index-compare": "manual",
        "z-index": 21,
        shape: "round-rectangle",
        width: "data(width)",
        height: TOGGLE_HEIGHT,
        "background-color": theme.background,
        "border-width": 1,
        "border-color": theme.border,
        label: "data(text)",
        color: theme.text,
        "font-family": theme.font,
        "font-size": 12,
        "text-valign": "center",
        "text-halign": "center",
        "min-zoomed-font-size": 4,
      },
    },
    {
      selector: "node.lane",
      style: {
        "z-index-compare": "manual",
        "z-index": 0,
        events: "no",
        shape: "round-rectangle",
        width: "data(width)",
        height: "data(height)",
        "background-color": theme.surface,
        "background-opacity": 0.5,
        "border-width": 1,
        "border-style": "dashed",
        "border-color": theme.border,
        label: "data(text)",
        color: theme.text,
        "text-opacity": 0.75,
        "font-family": theme.font,
        "font-size": 12,
        "text-valign": "top",
        "text-halign": "center",
        "text-margin-y": 18,
        "min-zoomed-font-size": 5,
      },
    },
    { selector: "node.critical", style: { "border-width": 4, "border-color": theme.families.violet.line, "border-style": "solid" } },
    { selector: "node.selected", style: { "border-width": 4, "border-color": theme.primary, "border-style": "solid" } },
    { selector: "node.focused", style: { "outline-width": 3, "outline-color": theme.text, "outline-offset": 4 } },
    {
      selector: "edge",
      style: {
        "z-index-compare": "manual",
        "z-index": 10,
        width: 1.5,
        "line-color": theme.families.gray.line,
        "target-arrow-color": theme.families.gray.line,
        "target-arrow-shape": "triangle",
        "arrow-scale": 0.9,
        "curve-style": "bezier",
        label: "data(label)",
        color: theme.text,
        "font-family": theme.font,
        "font-size": 10,
        "text-background-color": theme.background,
        "text-background-opacity": 0.85,
        "text-background-padding": 2,
        "min-zoomed-font-size": 6,
      },
    },
    {
      selector: "edge.active",
      style: {
        width: 2.5,
        "line-color": theme.families.blue.line,
        "target-arrow-color": theme.families.blue.line,
        "line-style": "dashed",
        "line-dash-pattern": [8, 4],
      },
    },
    {
      selector: "edge.critical",
      style: { width: 4, "line-color": theme.families.violet.line, "target-arrow-color": theme.families.violet.line, "z-index": 11 },
    },
  ];
}

/** The page's own style of the parts around the drawing. */
export const CSS_TEXT = `
.helm-graph { font-family: var(--st-font); color: var(--st-text-color); font-size: 0.875rem; }
.helm-graph * { box-sizing: border-box; }
.helm-frame { position: relative; border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); overflow: hidden; }
.helm-frame:focus-within { border-color: var(--st-primary-color); box-shadow: 0 0 0 1px var(--st-primary-color); }
.helm-canvas { position: absolute; inset: 0; }
.helm-nodes { position: absolute; inset: 0; pointer-events: none; outline: none; }
.helm-nodes > div { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.helm-tools { position: absolute; right: 8px; top: 8px; display: flex; gap: 4px; }
.helm-graph button { font: inherit; color: var(--st-text-color); background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius); min-width: 32px; height: 32px; padding: 0 8px; cursor: pointer; }
.helm-graph button:hover, .helm-graph button:focus-visible { border-color: var(--st-primary-color); outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
.helm-foot { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: center; padding-top: 6px; min-height: 28px; }
.helm-legend { display: flex; flex-wrap: wrap; gap: 4px 12px; margin: 0; padding: 0; list-style: none; }
.helm-legend li { display: inline-flex; gap: 5px; align-items: center; }
.helm-legend img { width: 13px; height: 13px; }
.helm-live { margin-left: auto; display: inline-flex; gap: 8px; align-items: center; }
.helm-live[hidden], .helm-note[hidden], .helm-tip[hidden], .helm-graph button[hidden] { display: none; }
.helm-note { flex-basis: 100%; }
.helm-key { display: inline-flex; gap: 5px; align-items: center; }
.helm-key[hidden] { display: none; }
.helm-key::before { content: ""; width: 18px; height: 0; border-top: 4px solid var(--helm-critical); border-radius: 2px; }
.helm-tip { position: absolute; max-width: 320px; padding: 6px 10px; pointer-events: none; background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); white-space: pre-line; z-index: 2; }
${MAP_CSS}`;
