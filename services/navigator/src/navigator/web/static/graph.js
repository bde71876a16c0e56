// The trajectory as a graph: a column for each depth, rows so that a chain runs straight. Pure.

/** How many columns the steps need. */
export function depths(states) {
  return Math.max(...placed(states).depth.values()) + 1;
}

/** Places and edges for the steps. `size`: width, height, gapX, gapY of a node. */
export function layout(states, size) {
  const { depth, row } = placed(states);
  const nodes = states.map(({ step }) => ({
    id: step.id,
    x: depth.get(step.id) * (size.width + size.gapX),
    y: row.get(step.id) * (size.height + size.gapY),
  }));
  const at = new Map(nodes.map((node) => [node.id, node]));
  const edges = states.flatMap(({ step }) => step.depends_on.filter((id) => at.has(id)).map((id) => edge(at.get(id), at.get(step.id), size)));
  return {
    nodes,
    edges,
    width: Math.max(...nodes.map(({ x }) => x)) + size.width,
    height: Math.max(...nodes.map(({ y }) => y)) + size.height,
  };
}

function placed(states) {
  const depth = new Map();
  const row = new Map();
  const taken = new Set();
  for (const { step } of states) {
    const before = step.depends_on.filter((id) => depth.has(id));
    const column = before.length ? Math.max(...before.map((id) => depth.get(id))) + 1 : 0;
    const place = freeRow(taken, column, before.length ? row.get(before[0]) : 0);
    depth.set(step.id, column);
    row.set(step.id, place);
    taken.add(`${column}:${place}`);
  }
  return { depth, row };
}

function freeRow(taken, column, wanted) {
  let place = wanted;
  while (taken.has(`${column}:${place}`)) place += 1;
  return place;
}

function edge(from, to, size) {
  const [x1, y1] = [from.x + size.width, from.y + size.height / 2];
  const [x2, y2] = [to.x, to.y + size.height / 2];
  const bend = Math.max(size.gapX / 2, Math.min(60, (x2 - x1) / 2));
  return { key: `${from.id}-${to.id}`, from: from.id, to: to.id, path: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` };
}
