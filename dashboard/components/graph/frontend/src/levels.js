// Levels as lanes behind the nodes: all nodes that the same number of steps leads to.

const AROUND = 10;
const HEAD = 20;
const MOST_LANES = 120;

/**
 * The lanes behind `nodes`, each with its level and its place.
 * @param {{id: string, level?: number, part?: number}[]} nodes
 * @param {(node: object) => {x: number, y: number}} placeOf
 * @param {(node: object) => number} bandOf which line of text the node is in, if the graph is broken into lines
 * @param {{width: number, height: number}} size of a node
 */
export function lanesOf(nodes, placeOf, bandOf, size) {
  const lanes = new Map();
  for (const node of nodes) {
    if (node.level == null) continue;
    const key = `${node.part} ${node.level} ${bandOf(node)}`;
    const { x, y } = placeOf(node);
    const lane = lanes.get(key) ?? { id: `lane ${key}`, level: node.level, x1: Infinity, x2: -Infinity, y1: Infinity, y2: -Infinity };
    lane.x1 = Math.min(lane.x1, x - size.width / 2 - AROUND);
    lane.x2 = Math.max(lane.x2, x + size.width / 2 + AROUND);
    lane.y1 = Math.min(lane.y1, y - size.height / 2 - AROUND - HEAD);
    lane.y2 = Math.max(lane.y2, y + size.height / 2 + AROUND);
    lanes.set(key, lane);
  }
  if (lanes.size > MOST_LANES) return [];
  return [...lanes.values()].map(({ id, level, x1, x2, y1, y2 }) => ({
    id,
    label: `Level ${level + 1}`,
    x: (x1 + x2) / 2,
    y: (y1 + y2) / 2,
    width: x2 - x1,
    height: y2 - y1,
  }));
}
