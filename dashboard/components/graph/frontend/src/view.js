// One graph on a page: the drawing, the list that stands for it to keyboards and screen readers, legend, live states.
import cytoscape from "cytoscape";
import { arrange } from "./arrange.js";
import { iconImage, iconsReady } from "./icons.js";
import { LiveFeed, DELAYS_MS } from "./live.js";
import { BUSY, stateOf } from "./states.js";
import { CSS_TEXT, NODE_HEIGHT, NODE_WIDTH, readTheme, stateImage, styleFor } from "./theme.js";

const LINE_LENGTH = 21;
const ANIMATE_AT_MOST = 300;
const FRAME_MS = 66;
const PADDING = 20;

function make(tag, className, attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function short(text) {
  const plain = String(text ?? "");
  return plain.length > LINE_LENGTH ? `${plain.slice(0, LINE_LENGTH - 1)}…` : plain;
}

function time(moment) {
  return moment.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export class GraphView {
  constructor(place) {
    this.nodes = new Map();
    this.edges = new Map();
    this.options = new Map();
    this.live = new Map();
    this.folds = new Map();
    this.feed = null;
    this.theme = null;
    this.focused = null;
    this.chosen = null;
    this.moved = false;
    this.places = new Map();
    this.hasIcons = false;
    this.receivedAt = null;
    this.build(place);
    this.cy = cytoscape({
      container: this.canvas,
      style: [],
      layout: { name: "preset" },
      autoungrabify: true,
      autounselectify: true,
      boxSelectionEnabled: false,
      minZoom: 0.03,
      maxZoom: 3,
      hideEdgesOnViewport: false,
    });
    this.listen();
    iconsReady().then((ready) => {
      this.hasIcons = ready;
      if (ready && this.theme) this.drawIcons();
    });
  }

  build(place) {
    const style = document.createElement("style");
    style.textContent = CSS_TEXT;
    this.root = make("div", "helm-graph");
    this.frame = make("div", "helm-frame");
    this.canvas = make("div", "helm-canvas", { "aria-hidden": "true" });
    this.list = make("div", "helm-nodes", { role: "listbox", tabindex: "0" });
    this.tip = make("div", "helm-tip", { "aria-hidden": "true" });
    this.tip.hidden = true;
    this.tools = make("div", "helm-tools", { role: "group", "aria-label": "Zoom" });
    this.button("−", "Zoom out", () => this.zoom(1 / 1.3));
    this.button("+", "Zoom in", () => this.zoom(1.3));
    this.button("Fit", "Show the whole graph", () => this.fit());
    this.fold = this.button("Fold groups", "Fold all groups again", () => this.setState("unfolded", []));
    this.fold.hidden = true;
    this.frame.append(this.canvas, this.list, this.tip, this.tools);
    this.legend = make("ul", "helm-legend", { "aria-label": "States" });
    this.status = make("span", "helm-live");
    this.status.hidden = true;
    this.statusText = make("span", "", { role: "status" });
    this.retry = make("button", "", { type: "button" });
    this.retry.textContent = "Connect again";
    this.retry.onclick = () => this.feed?.retry();
    this.status.append(this.statusText, this.retry);
    this.note = make("div", "helm-note");
    const foot = make("div", "helm-foot");
    foot.append(this.legend, this.status, this.note);
    this.root.append(this.frame, foot);
    this.parts = [style, this.root];
    place.append(...this.parts);
  }

  button(text, title, action) {
    const button = make("button", "", { type: "button", title, "aria-label": title });
    button.textContent = text;
    button.onclick = action;
    this.tools.append(button);
    return button;
  }

  listen() {
    this.cy.on("tap", "node", (event) => this.choose(event.target.id()));
    this.cy.on("mouseover", "node", (event) => this.showTip(event.target));
    this.cy.on("mouseout", "node", () => this.hideTip());
    this.cy.on("viewport", () => this.hideTip());
    this.cy.on("dragpan pinchzoom scrollzoom", () => (this.moved = true));
    // Without Ctrl the wheel scrolls the page, as the reader expects.
    this.frame.addEventListener("wheel", (event) => !(event.ctrlKey || event.metaKey) && event.stopImmediatePropagation(), { capture: true });
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("focus", () => this.focus(this.focused ?? this.chosen ?? this.firstId()));
    this.list.addEventListener("blur", () => this.blur());
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(this.frame);
    this.sight = new IntersectionObserver((entries) => {
      this.inSight = entries.at(-1).isIntersecting;
      this.animate();
    });
    this.sight.observe(this.frame);
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.onCalm = () => this.animate();
    this.calm.addEventListener("change", this.onCalm);
    document.addEventListener("visibilitychange", this.onCalm);
  }

  /** Take over what the page says now; only what changed is touched. */
  update({ data, setTriggerValue, setStateValue }) {
    this.data = data;
    this.trigger = setTriggerValue;
    this.setState = setStateValue;
    this.frame.style.height = `${data.height}px`;
    this.applyTheme();
    this.folds = new Map(Object.entries(data.members ?? {}));
    this.memberOf = new Map();
    for (const [fold, members] of this.folds) for (const member of members) this.memberOf.set(member.id, fold);
    const moved = this.patch();
    this.fold.hidden = !data.unfolded?.length;
    this.note.textContent = data.note ?? "";
    this.note.hidden = !data.note;
    this.connect(data.liveUrl);
    this.mark(data.selected ?? null);
    this.summarise();
    this.animate();
    if (moved) {
      this.moved = false;
      this.resized();
    }
  }

  applyTheme() {
    const theme = readTheme(this.root);
    if (theme.signature === this.theme?.signature) return;
    this.theme = theme;
    this.cy.style().fromJson(styleFor(theme)).update();
    if (this.hasIcons) this.drawIcons();
  }

  /** Brings nodes and edges up to date; tells whether places or members changed. */
  patch() {
    let moved = false;
    const wanted = new Map(this.data.nodes.map((node) => [node.id, node]));
    const links = new Map();
    for (const edge of this.data.edges) {
      const name = `${edge.source} → ${edge.target}`;
      links.set(links.has(name) ? `${name} (${links.size})` : name, edge);
    }
    this.cy.batch(() => {
      for (const [id] of this.edges) if (!links.has(id)) this.drop(this.edges, id);
      for (const [id] of this.nodes)
        if (!wanted.has(id)) {
          moved = true;
          this.drop(this.nodes, id);
          this.options.get(id).remove();
          this.options.delete(id);
        }
      for (const [id, node] of wanted) moved = this.patchNode(id, node) || moved;
      for (const [id, edge] of links) this.patchEdge(id, edge);
    });
    if (this.focused && !wanted.has(this.focused)) this.focused = null;
    return moved;
  }

  drop(known, id) {
    this.cy.getElementById(id).remove();
    known.delete(id);
  }

  patchNode(id, node) {
    const before = this.nodes.get(id);
    this.nodes.set(id, node);
    if (!before) {
      this.cy.add({ group: "nodes", data: { id }, position: this.placeOf(node), classes: this.folds.has(id) ? "folded" : "" });
      const option = make("div", "", { role: "option", id: `node-${this.options.size}-${Math.random().toString(36).slice(2)}`, "aria-selected": "false" });
      option.dataset.node = id;
      this.options.set(id, option);
      this.list.append(option);
    } else if (before.x !== node.x || before.y !== node.y) {
      this.cy.getElementById(id).position(this.placeOf(node));
    }
    this.refresh(id);
    return !before || before.x !== node.x || before.y !== node.y;
  }

  patchEdge(id, edge) {
    const before = this.edges.get(id);
    this.edges.set(id, edge);
    if (!before) this.cy.add({ group: "edges", data: { id, source: edge.source, target: edge.target, label: edge.label } });
    else if (before.label !== edge.label) this.cy.getElementById(id).data("label", edge.label);
    this.refreshEdge(id);
  }

  stateNow(id) {
    const members = this.folds.get(id);
    if (!members) return this.live.get(id)?.status ?? this.nodes.get(id).state;
    const states = new Set(members.map((member) => this.live.get(member.id)?.status ?? member.state));
    return this.data.ranking.find((state) => states.has(state)) ?? [...states][0];
  }

  detailNow(id) {
    const members = this.folds.get(id);
    if (!members) return this.live.get(id)?.task || this.nodes.get(id).detail || "";
    const bad = members.filter((member) => ["failed", "error"].includes(this.live.get(member.id)?.status ?? member.state)).length;
    return bad ? `${bad} failed` : "";
  }

  /** Draws the node anew if its state or words changed. */
  refresh(id) {
    const node = this.nodes.get(id);
    const state = this.stateNow(id);
    const { word } = stateOf(state);
    const detail = this.detailNow(id);
    const element = this.cy.getElementById(id);
    const second = detail ? `${word} · ${detail}` : word;
    const text = `${short(node.label)}\n${short(second)}`;
    if (element.data("state") !== state || element.data("text") !== text) {
      element.data({ state, text, iconImage: this.icon(node) });
      const option = this.options.get(id);
      option.textContent = `${node.label}, ${second}`;
      option.dataset.state = state;
    }
  }

  refreshEdge(id) {
    const edge = this.edges.get(id);
    const busy = this.feed && BUSY.has(this.stateNow(edge.source)) && BUSY.has(this.stateNow(edge.target));
    const element = this.cy.getElementById(id);
    const active = Boolean(edge.active || busy);
    if (active === element.hasClass("active")) return;
    element.toggleClass("active", active);
    if (!active) element.removeStyle("line-dash-offset");
  }

  icon(node) {
    return this.hasIcons && node.icon && this.theme ? iconImage(node.icon, this.theme.text) : "";
  }

  drawIcons() {
    this.cy.batch(() => {
      for (const [id, node] of this.nodes) this.cy.getElementById(id).data("iconImage", this.icon(node));
    });
  }

  connect(path) {
    if (path === this.feedPath) return;
    this.feed?.destroy();
    this.feed = null;
    this.feedPath = path;
    this.live.clear();
    this.status.hidden = !path;
    if (path) this.feed = new LiveFeed(path, (message) => this.receive(message), (state, attempt) => this.tell(state, attempt));
  }

  receive(message) {
    const entries = message.agents ?? message.nodes ?? [];
    const changed = new Set();
    if (message.type === "snapshot") {
      for (const id of this.live.keys()) changed.add(id);
      this.live.clear();
    }
    for (const id of message.gone ?? []) if (this.live.delete(id)) changed.add(id);
    for (const entry of entries) {
      const known = this.live.get(entry.id);
      if (known && known.version != null && entry.version != null && entry.version < known.version) continue;
      this.live.set(entry.id, entry);
      changed.add(entry.id);
    }
    this.receivedAt = new Date();
    if (changed.size) this.applyLive(changed);
  }

  applyLive(changed) {
    this.cy.batch(() => {
      const touched = new Set();
      for (const id of changed) touched.add(this.memberOf.get(id) ?? id);
      for (const id of touched) if (this.nodes.has(id)) this.refresh(id);
      for (const [id, edge] of this.edges) if (touched.has(edge.source) || touched.has(edge.target)) this.refreshEdge(id);
    });
    this.summarise();
    this.animate();
  }

  tell(state, attempt) {
    const since = this.receivedAt ? `; states as of ${time(this.receivedAt)}` : "";
    this.status.dataset.connection = state;
    this.retry.hidden = state !== "lost";
    this.statusText.textContent = {
      connecting: "Connecting…",
      live: "● Live",
      stale: `Live states are away${since}`,
      complete: "Complete",
      waiting: `Connecting again (${attempt} of ${DELAYS_MS.length})${since}`,
      lost: `Connection lost${since}`,
      ended: `Signed out${since}`,
    }[state];
  }

  /** Legend and spoken summary, counted over the nodes, not over folded groups. */
  summarise() {
    const counts = new Map();
    const count = (state) => counts.set(state, (counts.get(state) ?? 0) + 1);
    for (const id of this.nodes.keys()) {
      const members = this.folds.get(id);
      if (members) for (const member of members) count(this.live.get(member.id)?.status ?? member.state);
      else count(this.stateNow(id));
    }
    const entries = [...counts].sort((left, right) => right[1] - left[1]);
    const key = JSON.stringify([entries, this.data.label, this.edges.size, this.theme.signature]);
    if (key === this.summaryKey) return;
    this.summaryKey = key;
    const total = entries.reduce((sum, [, number]) => sum + number, 0);
    const words = entries.map(([state, number]) => `${number} ${stateOf(state).word}`);
    this.list.setAttribute(
      "aria-label",
      `${this.data.label}: ${total} nodes, ${this.edges.size} connections${words.length ? `; ${words.join(", ")}` : ""}. Arrow keys move, Enter chooses, plus and minus zoom, 0 shows all.`,
    );
    this.legend.replaceChildren(
      ...entries.map(([state], index) => {
        const item = make("li", "");
        const image = make("img", "", { alt: "", src: stateImage(state, this.theme) });
        item.append(image, words[index]);
        return item;
      }),
    );
  }

  choose(id) {
    this.focused = id;
    if (this.folds.has(id)) {
      const name = id.slice(this.data.groupPrefix.length);
      this.setState("unfolded", [...(this.data.unfolded ?? []), name]);
      return;
    }
    this.mark(id);
    this.trigger("clicked", id);
  }

  mark(id) {
    if (id === this.chosen) return;
    if (this.chosen !== null) this.setMark(this.chosen, false);
    this.chosen = id;
    if (id !== null) this.setMark(id, true);
  }

  setMark(id, on) {
    this.cy.getElementById(id).toggleClass("selected", on);
    this.options.get(id)?.setAttribute("aria-selected", String(on));
  }

  firstId() {
    return this.nodes.keys().next().value ?? null;
  }

  focus(id) {
    if (id === null || !this.nodes.has(id)) return;
    if (this.focused) this.cy.getElementById(this.focused).removeClass("focused");
    this.focused = id;
    const element = this.cy.getElementById(id);
    element.addClass("focused");
    this.list.setAttribute("aria-activedescendant", this.options.get(id).id);
    const { x1, x2, y1, y2 } = this.cy.extent();
    const { x, y } = element.position();
    if (x < x1 || x > x2 || y < y1 || y > y2) this.cy.center(element);
    this.showTip(element);
  }

  blur() {
    if (this.focused) this.cy.getElementById(this.focused).removeClass("focused");
    this.hideTip();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    const ids = [...this.nodes.keys()];
    if (steps[event.key]) this.focus(this.neighbour(...steps[event.key]));
    else if (event.key === "Home") this.focus(ids[0] ?? null);
    else if (event.key === "End") this.focus(ids.at(-1) ?? null);
    else if (event.key === "Enter" || event.key === " ") this.focused && this.choose(this.focused);
    else if (event.key === "+" || event.key === "=") this.zoom(1.3);
    else if (event.key === "-") this.zoom(1 / 1.3);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** The nearest node in the direction (x, y); null when there is none. */
  neighbour(x, y) {
    if (!this.nodes.has(this.focused)) return this.firstId();
    const from = this.placeOf(this.nodes.get(this.focused));
    let best = null;
    let least = Infinity;
    for (const [id, node] of this.nodes) {
      const place = this.placeOf(node);
      const ahead = (place.x - from.x) * x + (place.y - from.y) * y;
      const aside = Math.abs((place.x - from.x) * y) + Math.abs((place.y - from.y) * x);
      if (ahead > 0 && ahead + 2 * aside < least) {
        least = ahead + 2 * aside;
        best = id;
      }
    }
    return best;
  }

  showTip(element) {
    const node = this.nodes.get(element.id());
    if (!node) return;
    const detail = this.detailNow(node.id);
    this.tip.textContent = `${node.label}\n${stateOf(this.stateNow(node.id)).word}${detail ? ` · ${detail}` : ""}`;
    this.tip.hidden = false;
    const box = element.renderedBoundingBox();
    const left = Math.min(Math.max(8, box.x1), this.frame.clientWidth - this.tip.offsetWidth - 8);
    const below = box.y2 + 8;
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${below + this.tip.offsetHeight > this.frame.clientHeight ? Math.max(8, box.y1 - this.tip.offsetHeight - 8) : below}px`;
  }

  hideTip() {
    this.tip.hidden = true;
  }

  zoom(factor) {
    this.moved = true;
    const middle = { x: this.frame.clientWidth / 2, y: this.frame.clientHeight / 2 };
    this.cy.zoom({ level: this.cy.zoom() * factor, renderedPosition: middle });
  }

  placeOf(node) {
    return this.places.get(node.id) ?? { x: node.x, y: node.y };
  }

  /** Puts the nodes where the frame shows them largest. */
  arrange() {
    const size = { width: NODE_WIDTH, height: NODE_HEIGHT };
    const { clientWidth, clientHeight } = this.frame;
    this.places = arrange(this.data.nodes, clientWidth - 2 * PADDING, clientHeight - 2 * PADDING, size);
    this.cy.batch(() => {
      for (const [id, place] of this.places) this.cy.getElementById(id).position(place);
    });
  }

  fit() {
    this.moved = false;
    if (!this.nodes.size) return;
    this.arrange();
    this.cy.fit(undefined, PADDING);
    if (this.cy.zoom() > 1.1) {
      this.cy.zoom(1.1);
      this.cy.center();
    }
  }

  resized() {
    if (!this.frame.clientWidth || !this.frame.clientHeight) return;
    this.cy.resize();
    if (!this.moved) this.fit();
  }

  /** Moves the dashes of active edges while they can be seen and motion is welcome. */
  animate() {
    const active = this.cy.edges(".active");
    const wanted = active.nonempty() && this.nodes.size <= ANIMATE_AT_MOST && this.inSight && !document.hidden && !this.calm.matches;
    if (!wanted) {
      cancelAnimationFrame(this.frameRequest);
      this.frameRequest = null;
      return;
    }
    this.moving = active;
    if (this.frameRequest) return;
    let last = 0;
    const step = (now) => {
      this.frameRequest = requestAnimationFrame(step);
      if (now - last < FRAME_MS) return;
      last = now;
      this.moving.style("line-dash-offset", -Math.round(now / 40) % 12);
    };
    this.frameRequest = requestAnimationFrame(step);
  }

  destroy() {
    cancelAnimationFrame(this.frameRequest);
    this.feed?.destroy();
    this.sizes.disconnect();
    this.sight.disconnect();
    this.calm.removeEventListener("change", this.onCalm);
    document.removeEventListener("visibilitychange", this.onCalm);
    this.cy.destroy();
    for (const part of this.parts) part.remove();
  }
}
