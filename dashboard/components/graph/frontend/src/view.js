// One graph on a page: the drawing, the list that stands for it to keyboards and screen readers, legend, live states.
import cytoscape from "cytoscape";
import { arrange } from "./arrange.js";
import { countsImage, countsInShort, countsInWords } from "./counts.js";
import { iconImage, iconsReady } from "./icons.js";
import { lanesOf } from "./levels.js";
import { LiveFeed, DELAYS_MS } from "./live.js";
import { Minimap } from "./minimap.js";
import { BUSY, stateOf } from "./states.js";
import { CSS_TEXT, NODE_HEIGHT, NODE_WIDTH, TOGGLE_HEIGHT, readTheme, stateImage, styleFor } from "./theme.js";

const LINE_LENGTH = 21;
const ANIMATE_AT_MOST = 300;
const FRAME_MS = 66;
const PADDING = 20;
const READABLE = 0.6;
const MAP_ABOVE = 60;
const EDGES_UP_TO = 800;
const SIZE = { width: NODE_WIDTH, height: NODE_HEIGHT };
const TOGGLE = "fold ";
const LETTER = 7.2;

function make(tag, className, attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function short(text, length = LINE_LENGTH) {
  const plain = String(text ?? "");
  return plain.length > length ? `${plain.slice(0, length - 1)}…` : plain;
}

function seconds(number) {
  if (number < 1) return `${Math.round(number * 1000)} ms`;
  if (number < 60) return `${number.toFixed(1)} s`;
  return number < 3600 ? `${Math.floor(number / 60)} min ${Math.round(number % 60)} s` : `${(number / 3600).toFixed(1)} h`;
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
    this.boxes = new Map();
    this.lanes = [];
    this.bands = null;
    this.opening = null;
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
    this.map = new Minimap(this.frame, this.cy, SIZE);
    this.map.onMove = () => (this.moved = true);
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
    this.button("Fit", "Show the whole graph", () => this.fit({ whole: true }));
    this.fold = this.button("Fold all", "Fold everything again", () => this.foldAll());
    this.fold.hidden = true;
    this.frame.append(this.canvas, this.list, this.tip, this.tools);
    this.criticalKey = make("span", "helm-key");
    this.criticalKey.textContent = "critical path";
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
    foot.append(this.legend, this.criticalKey, this.status, this.note);
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
    this.cy.on("mouseover", "node.leaf, node.toggle", (event) => this.showTip(event.target));
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
    for (const [fold, members] of this.folds) for (const [id] of members) this.memberOf.set(id, fold);
    const moved = this.patch();
    this.fold.hidden = !data.boxes?.length;
    this.note.textContent = data.note ?? "";
    this.note.hidden = !data.note;
    this.criticalKey.hidden = !data.hasCritical;
    this.connect(data.liveUrl);
    this.mark(data.selected ?? null);
    this.summarise();
    this.animate();
    // So many edges would make every frame of a move late; they are back when it ends.
    this.cy.renderer().hideEdgesOnViewport = this.nodes.size > EDGES_UP_TO;
    this.map.want(this.nodes.size > MAP_ABOVE || this.folds.size > 0, this.theme);
    if (moved) this.show();
  }

  applyTheme() {
    const theme = readTheme(this.root);
    if (theme.signature === this.theme?.signature) return;
    this.theme = theme;
    this.root.style.setProperty("--helm-critical", theme.families.violet.line);
    this.cy.batch(() => {
      for (const id of this.nodes.keys()) this.cy.getElementById(id).data("strip", this.strip(id));
    });
    this.cy.style().fromJson(styleFor(theme)).update();
    if (this.hasIcons) this.drawIcons();
    this.map.refresh();
  }

  /** Everything a reader can get to: nodes, closed folds, and what closes open ones again. */
  wantedNodes() {
    const wanted = new Map(this.data.nodes.map((node) => [node.id, node]));
    for (const box of this.data.boxes ?? []) {
      const width = Math.min(box.width - 24, 40 + LETTER * Math.min(box.label.length, 34));
      const x = box.x - box.width / 2 + 12 + width / 2;
      const y = box.y - box.height / 2 + 10 + TOGGLE_HEIGHT / 2;
      wanted.set(TOGGLE + box.id, { id: TOGGLE + box.id, label: box.label, box: box.id, x, y, width });
    }
    return wanted;
  }

  /** Brings nodes and edges up to date; tells whether places or members changed. */
  patch() {
    const wanted = this.wantedNodes();
    const links = new Map();
    for (const edge of this.data.edges) {
      const name = `${edge.source} → ${edge.target}`;
      links.set(links.has(name) ? `${name} (${links.size})` : name, edge);
    }
    const boxes = new Map((this.data.boxes ?? []).map((box, index) => [box.id, { ...box, depth: index + 1 }]));
    let moved = false;
    this.cy.batch(() => {
      for (const id of [...this.edges.keys()]) if (!links.has(id)) this.drop(this.edges, id);
      for (const id of [...this.boxes.keys()]) if (!boxes.has(id)) this.drop(this.boxes, id);
      for (const id of [...this.nodes.keys()])
        if (!wanted.has(id)) {
          moved = true;
          this.drop(this.nodes, id);
          this.options.get(id).remove();
          this.options.delete(id);
        }
      moved = this.patchBoxes(boxes) || moved;
      moved = this.patchNodes(wanted) || moved;
      this.patchEdges(links);
    });
    if (this.focused && !wanted.has(this.focused)) this.focused = null;
    return moved;
  }

  drop(known, id) {
    this.cy.getElementById(id).remove();
    known.delete(id);
  }

  patchBoxes(boxes) {
    let moved = false;
    const fresh = [];
    for (const [id, box] of boxes) {
      const before = this.boxes.get(id);
      this.boxes.set(id, box);
      const data = { id, width: box.width, height: box.height, depth: box.depth, state: this.boxState(box) };
      const same = before && ["x", "y", "width", "height"].every((name) => before[name] === box[name]);
      moved ||= !same;
      const classes = `box${box.kind === "container" ? "" : " passive"}${box.critical ? " critical" : ""}`;
      if (!before) fresh.push({ group: "nodes", data, position: { x: box.x, y: box.y }, classes });
      else this.cy.getElementById(id).data(data).position({ x: box.x, y: box.y }).classes(classes);
    }
    this.cy.add(fresh);
    return moved;
  }

  patchNodes(wanted) {
    let moved = false;
    const fresh = [];
    const options = document.createDocumentFragment();
    for (const [id, node] of wanted) {
      const before = this.nodes.get(id);
      this.nodes.set(id, node);
      if (before && !before.fold === !node.fold) {
        const element = this.cy.getElementById(id);
        if (before.x !== node.x || before.y !== node.y || before.width !== node.width) {
          moved = true;
          element.position(this.placeOf(node));
          if (node.box) element.data("width", node.width);
        }
        if (!before.critical !== !node.critical) element.toggleClass("critical", Boolean(node.critical));
        this.refresh(id);
        continue;
      }
      moved = true;
      if (before) this.cy.getElementById(id).remove();
      fresh.push({ group: "nodes", data: { id, ...this.looks(id) }, position: this.placeOf(node), classes: this.classesOf(node) });
      if (!before) options.append(this.newOption(id));
      this.tellOption(id);
    }
    this.cy.add(fresh);
    this.list.append(options);
    return moved;
  }

  classesOf(node) {
    if (node.box) return "toggle";
    return `leaf${node.fold ? " folded" : ""}${node.critical ? " critical" : ""}${node.id === this.chosen ? " selected" : ""}`;
  }

  newOption(id) {
    const option = make("div", "", { role: "option", id: `node-${this.options.size}-${Math.random().toString(36).slice(2)}`, "aria-selected": String(id === this.chosen) });
    option.dataset.node = id;
    this.options.set(id, option);
    return option;
  }

  patchEdges(links) {
    const fresh = [];
    for (const [id, edge] of links) {
      const before = this.edges.get(id);
      this.edges.set(id, edge);
      const element = before ? this.cy.getElementById(id) : null;
      if (!element || element.empty()) {
        const classes = `${this.isActive(edge) ? "active" : ""} ${edge.critical ? "critical" : ""}`;
        fresh.push({ group: "edges", data: { id, source: edge.source, target: edge.target, label: edge.label }, classes });
        continue;
      }
      if (before.label !== edge.label) element.data("label", edge.label);
      if (!before.critical !== !edge.critical) element.toggleClass("critical", Boolean(edge.critical));
      this.refreshEdge(id);
    }
    this.cy.add(fresh);
  }

  boxState(box) {
    return box.state ? (this.live.get(box.id)?.status ?? box.state) : null;
  }

  stateNow(id) {
    const members = this.folds.get(id);
    if (!members) return this.live.get(id)?.status ?? this.nodes.get(id)?.state ?? this.boxes.get(id)?.state;
    const states = new Set(members.map(([member, state]) => this.live.get(member)?.status ?? state));
    return this.data.ranking.find((state) => states.has(state)) ?? [...states][0];
  }

  /** Items by state: of a fold its members, of a container what it loops over; null of a plain node. */
  countsNow(id) {
    const members = this.folds.get(id);
    if (!members) {
      const entry = this.live.get(id);
      return (entry ? entry.counts : (this.nodes.get(id) ?? this.boxes.get(id))?.counts) ?? null;
    }
    const counts = {};
    for (const [member, state] of members) {
      const now = this.live.get(member)?.status ?? state;
      counts[now] = (counts[now] ?? 0) + 1;
    }
    return counts;
  }

  detailNow(id) {
    const entry = this.live.get(id);
    if (entry?.task) return entry.task;
    const took = entry?.started_at && entry.finished_at ? (Date.parse(entry.finished_at) - Date.parse(entry.started_at)) / 1000 : null;
    const detail = this.nodes.get(id)?.detail ?? "";
    return took === null ? detail : `${String(detail).split(",")[0]}, ${seconds(took)}`;
  }

  strip(id) {
    const counts = this.theme && this.nodes.get(id)?.box == null ? this.countsNow(id) : null;
    return counts ? countsImage(counts, this.data.ranking, this.theme) : "";
  }

  /** What the drawing shows of a node. */
  looks(id) {
    const node = this.nodes.get(id);
    if (node.box) return { text: `▾ ${short(node.label, 34)}`, width: node.width };
    const state = this.stateNow(id);
    const counts = this.countsNow(id);
    const detail = this.detailNow(id);
    const second = (counts && countsInShort(counts)) || [stateOf(state).word, detail].filter(Boolean).join(" · ");
    return { state, text: `${short(node.label)}\n${short(second)}`, strip: this.strip(id), iconImage: this.icon(node) };
  }

  /** What is said of a node. */
  words(id) {
    const node = this.nodes.get(id);
    if (node.box) return `Fold ${node.label}`;
    const counts = this.countsNow(id);
    const detail = this.detailNow(id);
    const said = [stateOf(this.stateNow(id)).word, counts ? countsInWords(counts) : "", detail].filter(Boolean).join(" · ");
    return [node.label, said, node.fold ? "folded" : "", node.critical ? "on the critical path" : ""].filter(Boolean).join(", ");
  }

  tellOption(id) {
    const option = this.options.get(id);
    const words = this.words(id);
    if (option.textContent !== words) option.textContent = words;
    if (!this.nodes.get(id).box) option.dataset.state = this.stateNow(id);
  }

  /** Draws the node anew if its state or words changed. */
  refresh(id) {
    const element = this.cy.getElementById(id);
    const looks = this.looks(id);
    if (Object.entries(looks).some(([name, value]) => element.data(name) !== value)) {
      element.data(looks);
      this.map.refresh();
    }
    this.tellOption(id);
  }

  isActive(edge) {
    const busy = this.feed && BUSY.has(this.stateNow(edge.source)) && BUSY.has(this.stateNow(edge.target));
    return Boolean(edge.active || busy);
  }

  refreshEdge(id) {
    const element = this.cy.getElementById(id);
    const active = this.isActive(this.edges.get(id));
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
    // What the old feed said last may be older than what the page says now.
    const told = new Set(this.live.keys());
    this.live.clear();
    if (told.size) this.applyLive(told);
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
      for (const id of touched) {
        if (this.nodes.has(id)) this.refresh(id);
        else if (this.boxes.has(id)) this.cy.getElementById(id).data("state", this.boxState(this.boxes.get(id)));
      }
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
    for (const [id, node] of this.nodes) {
      const members = this.folds.get(id);
      if (members) for (const [member, state] of members) count(this.live.get(member)?.status ?? state);
      else if (!node.box) count(this.stateNow(id));
    }
    for (const box of this.boxes.values()) if (box.state) count(this.boxState(box));
    const entries = [...counts].sort((left, right) => right[1] - left[1]);
    const key = JSON.stringify([entries, this.data.label, this.edges.size, this.theme.signature]);
    if (key === this.summaryKey) return;
    this.summaryKey = key;
    const total = entries.reduce((sum, [, number]) => sum + number, 0);
    const told = entries.filter(([state]) => !stateOf(state).quiet);
    const words = told.map(([state, number]) => `${number} ${stateOf(state).word}`);
    this.list.setAttribute(
      "aria-label",
      `${this.data.label}: ${total} nodes, ${this.edges.size} connections${words.length ? `; ${words.join(", ")}` : ""}. Arrow keys move, Enter chooses, plus and minus zoom, 0 shows all.`,
    );
    this.legend.replaceChildren(
      ...told.map(([state], index) => {
        const item = make("li", "");
        const image = make("img", "", { alt: "", src: stateImage(state, this.theme) });
        item.append(image, words[index]);
        return item;
      }),
    );
  }

  choose(id) {
    this.focused = id;
    const node = this.nodes.get(id);
    if (node?.box) return this.close(node.box);
    if (node?.fold) this.open(node);
    if (this.folds.has(id)) return;
    this.mark(id);
    this.trigger("clicked", id);
  }

  /** Opens a fold in its place: the page answers with what is in it. */
  open(node) {
    this.opening = { id: node.id, at: this.cy.getElementById(node.id).renderedPosition() };
    if (this.data.closed?.includes(node.id)) this.setState("closed", this.data.closed.filter((id) => id !== node.id));
    this.setState("unfolded", [...(this.data.unfolded ?? []).filter((id) => id !== node.id), node.id]);
  }

  close(id) {
    this.opening = { id, at: this.cy.getElementById(TOGGLE + id).renderedPosition() };
    if (this.data.unfolded?.includes(id)) this.setState("unfolded", this.data.unfolded.filter((other) => other !== id));
    if (this.boxes.get(id)?.kind === "container") this.setState("closed", [...(this.data.closed ?? []), id]);
  }

  foldAll() {
    const containers = [...this.boxes.values()].filter((box) => box.kind === "container").map((box) => box.id);
    if (this.data.unfolded?.length) this.setState("unfolded", []);
    if (containers.length) this.setState("closed", [...(this.data.closed ?? []), ...containers]);
  }

  mark(id) {
    if (id === this.chosen) return;
    if (this.chosen !== null) this.setMark(this.chosen, false);
    this.chosen = id;
    if (id !== null) this.setMark(id, true);
  }

  setMark(id, on) {
    const drawn = this.nodes.has(id) || this.boxes.has(id) ? id : this.memberOf.get(id);
    if (drawn === undefined) return;
    this.cy.getElementById(drawn).toggleClass("selected", on);
    this.options.get(drawn)?.setAttribute("aria-selected", String(on));
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
    else if (event.key === "0") this.fit({ whole: true });
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
    this.tip.textContent = node.box ? `Fold ${node.label}` : this.words(node.id).replace(", ", "\n");
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

  /** Puts the nodes where the frame shows them largest; a graph with folds keeps its places. */
  arrange() {
    const { clientWidth, clientHeight } = this.frame;
    const plain = { places: new Map(), bands: null };
    const room = [clientWidth - 2 * PADDING, clientHeight - 2 * PADDING];
    const found = this.data.isFixed ? plain : arrange(this.data.nodes, ...room, SIZE);
    this.places = found.places;
    this.bands = found.bands;
    this.cy.batch(() => {
      for (const [id, node] of this.nodes) this.cy.getElementById(id).position(this.placeOf(node));
      this.drawLanes();
    });
  }

  drawLanes() {
    for (const lane of this.lanes) this.cy.getElementById(lane.id).remove();
    const bandOf = (node) => this.bands?.get(node.id) ?? 0;
    const hasGroups = this.folds.size > 0 || this.boxes.size > 0;
    const nodes = this.data.showLevels && !hasGroups ? this.data.nodes : [];
    this.lanes = lanesOf(nodes, (node) => this.placeOf(node), bandOf, SIZE);
    this.cy.add(
      this.lanes.map(({ id, label, x, y, width, height }) => ({ group: "nodes", data: { id, text: label, width, height }, position: { x, y }, classes: "lane" })),
    );
  }

  /** Shows the graph; one that would become too small to read from its beginning, unless all of it is wanted. */
  fit({ whole = false } = {}) {
    this.moved = whole;
    if (!this.nodes.size) return;
    this.arrange();
    this.cy.fit(undefined, PADDING);
    if (!whole && this.data.isFixed && this.cy.zoom() < READABLE) {
      const { x1, y1, h } = this.cy.elements().boundingBox();
      const top = Math.max(PADDING, (this.frame.clientHeight - h * READABLE) / 2);
      this.cy.viewport({ zoom: READABLE, pan: { x: PADDING - x1 * READABLE, y: top - y1 * READABLE } });
    }
    if (this.cy.zoom() > 1.1) {
      this.cy.zoom(1.1);
      this.cy.center();
    }
    this.map.refresh();
  }

  /** Shows what came or went: an opened fold as a whole if it fits, everything else where it was. */
  show() {
    const opening = this.opening;
    this.opening = null;
    if (!opening || !this.frame.clientWidth) {
      this.moved = false;
      this.resized();
      return;
    }
    this.arrange();
    this.moved = true;
    const element = this.cy.getElementById(opening.id);
    if (element.empty()) return this.fit();
    const zoom = this.cy.zoom();
    const { x, y } = element.position();
    if (!this.boxes.has(opening.id)) this.cy.pan({ x: opening.at.x - x * zoom, y: opening.at.y - y * zoom });
    else this.cy.fit(element, PADDING);
    if (this.cy.zoom() > 1.1) {
      this.cy.zoom(1.1);
      this.cy.center(element);
    }
    this.map.refresh();
  }

  resized() {
    if (!this.frame.clientWidth || !this.frame.clientHeight) return;
    this.cy.resize();
    if (!this.moved) this.fit();
    this.map.refresh();
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
    this.map.destroy();
    this.sizes.disconnect();
    this.sight.disconnect();
    this.calm.removeEventListener("change", this.onCalm);
    document.removeEventListener("visibilitychange", this.onCalm);
    this.cy.destroy();
    for (const part of this.parts) part.remove();
  }
}
