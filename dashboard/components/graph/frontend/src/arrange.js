// Fits places, which run from left to right, to the shape of a frame: as they are, turned to run downwards, or broken
// into bands like lines of text, every second band running back so that neighbours stay neighbours.

const TURN_X = 200 / 76;
const TURN_Y = 0.42;
const BAND_GAP = 100;
const MOST_BANDS = 6;
const LARGEST = 1.1;
// A plainer arrangement is kept unless another one shows the nodes larger by this much.
const WORTH = { turned: 1.15, bands: 1.35 };

function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

function bands(nodes, count) {
  const columns = [...new Set(nodes.map((node) => node.x))].sort((left, right) => left - right);
  const each = Math.ceil(columns.length / count);
  const bandOf = new Map(columns.map((x, index) => [x, Math.floor(index / each)]));
  const parts = [];
  for (const node of nodes) (parts[bandOf.get(node.x)] ??= []).push(node);
  const boxes = parts.map((part) => [extent(part.map((node) => node.x)), extent(part.map((node) => node.y))]);
  const width = Math.max(...boxes.map(([[low, high]]) => high - low));
  const places = new Map();
  const bandOfNode = new Map();
  let top = 0;
  parts.forEach((part, index) => {
    const [[left], [low, high]] = boxes[index];
    for (const node of part) {
      const along = node.x - left;
      bandOfNode.set(node.id, index);
      places.set(node.id, { x: index % 2 ? width - along : along, y: top + node.y - low });
    }
    top += high - low + BAND_GAP;
  });
  return { places, bands: bandOfNode };
}

/**
 * The places of `nodes` that show them largest.
 * @param {{id: string, x: number, y: number}[]} nodes
 * @param {number} width of the frame, without its padding
 * @param {number} height
 * @param {{width: number, height: number}} node
 * @returns {{places: Map<string, {x: number, y: number}>, bands: Map<string, number> | null}} and which band a node is in
 */
export function arrange(nodes, width, height, node) {
  const plain = new Map(nodes.map(({ id, x, y }) => [id, { x, y }]));
  const zoom = (places) => {
    const [left, right] = extent([...places.values()].map(({ x }) => x));
    const [top, bottom] = extent([...places.values()].map(({ y }) => y));
    return Math.min(width / (right - left + node.width), height / (bottom - top + node.height), LARGEST);
  };
  const turned = new Map(nodes.map(({ id, x, y }) => [id, { x: y * TURN_X, y: x * TURN_Y }]));
  let best = { places: plain, bands: null };
  let score = zoom(plain);
  if (zoom(turned) > score * WORTH.turned) {
    best = { places: turned, bands: null };
    score = zoom(turned);
  }
  let margin = WORTH.bands;
  for (let count = 2; count <= MOST_BANDS; count += 1) {
    const broken = bands(nodes, count);
    if (zoom(broken.places) > score * margin) {
      best = broken;
      score = zoom(broken.places);
      margin = 1.05;
    }
  }
  return best;
}
