// A small picture of the whole graph with a frame around the part that can be seen; dragging in it moves that part.
import { stateOf } from "./states.js";

const WIDTH = 170;
const HEIGHT = 112;
const MARGIN = 6;
const LEAST_FRAME = 460;

function extentOf(drawn) {
  let [x1, x2, y1, y2] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { x, y, width, height } of drawn) {
    x1 = Math.min(x1, x - width / 2);
    x2 = Math.max(x2, x + width / 2);
    y1 = Math.min(y1, y - height / 2);
    y2 = Math.max(y2, y + height / 2);
  }
  return { x1, x2, y1, y2, w: x2 - x1, h: y2 - y1 };
}

export class Minimap {
  /**
   * @param {HTMLElement} frame that the drawing is in
   * @param {object} cy the drawing
   * @param {{width: number, height: number}} size of a node
   */
  constructor(frame, cy, size) {
    this.frame = frame;
    this.cy = cy;
    this.size = size;
    this.root = document.createElement("div");
    this.root.className = "helm-map";
    this.root.setAttribute("aria-hidden", "true");
    this.root.hidden = true;
    this.canvas = document.createElement("canvas");
    this.sight = document.createElement("div");
    this.root.append(this.canvas, this.sight);
    frame.append(this.root);
    this.request = null;
    this.wanted = false;
    this.follow = () => this.moveSight();
    cy.on("viewport", this.follow);
    this.root.addEventListener("pointerdown", (event) => this.drag(event));
    this.root.addEventListener("pointermove", (event) => event.buttons === 1 && this.drag(event));
  }

  /** Shows or hides it; a small graph needs none, and a narrow page has no room. */
  want(wanted, theme) {
    this.wanted = wanted;
    this.theme = theme;
    this.refresh();
  }

  /** Draws the nodes anew before the next frame, however often it is asked. */
  refresh() {
    this.request ??= requestAnimationFrame(() => {
      this.request = null;
      this.draw();
    });
  }

  draw() {
    this.root.hidden = !this.wanted || this.frame.clientWidth < LEAST_FRAME;
    if (this.root.hidden || !this.theme) return;
    const drawn = this.cy.nodes(".leaf, .box").map((node) => {
      const isBox = node.hasClass("box");
      const { x, y } = node.position();
      return { x, y, isBox, state: node.data("state"), width: isBox ? node.data("width") : this.size.width, height: isBox ? node.data("height") : this.size.height };
    });
    if (!drawn.length) return;
    const box = extentOf(drawn);
    this.box = box;
    this.scale = Math.min((WIDTH - 2 * MARGIN) / Math.max(1, box.w), (HEIGHT - 2 * MARGIN) / Math.max(1, box.h));
    this.left = box.x1 - (WIDTH / this.scale - box.w) / 2;
    this.top = box.y1 - (HEIGHT / this.scale - box.h) / 2;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = WIDTH * ratio;
    this.canvas.height = HEIGHT * ratio;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    for (const { x, y, isBox, state, ...size } of drawn) {
      const width = size.width * this.scale;
      const height = size.height * this.scale;
      const place = [(x - this.left) * this.scale, (y - this.top) * this.scale];
      if (isBox) {
        pen.strokeStyle = this.theme.border;
        pen.strokeRect(place[0] - width / 2, place[1] - height / 2, width, height);
        continue;
      }
      pen.fillStyle = this.theme.families[stateOf(state).family].line;
      const least = [Math.max(1.5, width), Math.max(1.5, height)];
      pen.fillRect(place[0] - least[0] / 2, place[1] - least[1] / 2, ...least);
    }
    this.moveSight();
  }

  moveSight() {
    if (this.root.hidden || !this.scale) return;
    const { x1, x2, y1, y2 } = this.cy.extent();
    // Where everything can be seen, the map would only cover some of it.
    const sees = x1 <= this.box.x1 && x2 >= this.box.x2 && y1 <= this.box.y1 && y2 >= this.box.y2;
    this.root.style.visibility = sees ? "hidden" : "visible";
    const edge = (value, most) => Math.min(most, Math.max(0, value));
    const left = edge((x1 - this.left) * this.scale, WIDTH);
    const right = edge((x2 - this.left) * this.scale, WIDTH);
    const top = edge((y1 - this.top) * this.scale, HEIGHT);
    const bottom = edge((y2 - this.top) * this.scale, HEIGHT);
    this.sight.style.transform = `translate(${left}px, ${top}px)`;
    this.sight.style.width = `${Math.max(4, right - left)}px`;
    this.sight.style.height = `${Math.max(4, bottom - top)}px`;
  }

  drag(event) {
    if (!this.scale) return;
    event.preventDefault();
    this.root.setPointerCapture(event.pointerId);
    const place = this.root.getBoundingClientRect();
    const x = (event.clientX - place.left) / this.scale + this.left;
    const y = (event.clientY - place.top) / this.scale + this.top;
    const zoom = this.cy.zoom();
    this.cy.pan({ x: this.cy.width() / 2 - x * zoom, y: this.cy.height() / 2 - y * zoom });
    this.onMove?.();
  }

  destroy() {
    cancelAnimationFrame(this.request);
  }
}

export const MAP_CSS = `
.helm-map { position: absolute; right: 8px; bottom: 8px; width: ${WIDTH}px; height: ${HEIGHT}px; overflow: hidden; cursor: crosshair; touch-action: none;
  background: var(--st-background-color); border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); z-index: 1; }
.helm-map[hidden] { display: none; }
.helm-map canvas { position: absolute; inset: 0; width: ${WIDTH}px; height: ${HEIGHT}px; }
.helm-map div { position: absolute; left: 0; top: 0; border: 1.5px solid var(--st-primary-color); background: color-mix(in srgb, var(--st-primary-color) 12%, transparent); }
`;
