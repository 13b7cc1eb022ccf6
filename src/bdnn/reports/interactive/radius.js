// Distances and radii that are computed in the page. Every rounding goes to the safe side: radii are rounded down and
// distances up.

/** A factor above 1 that covers the rounding of n sums and a few more operations. */
function slack(n) {
  return 1 + (n + 16) * 2 ** -52;
}

/** The norm of a vector of numbers that are not negative. */
function normOf(values, norm) {
  if (norm === "inf") return Math.max(0, ...values);
  if (norm === "1") return values.reduce((sum, value) => sum + value, 0);
  const most = Math.max(0, ...values);
  return most === 0 ? 0 : most * Math.sqrt(values.reduce((sum, value) => sum + (value / most) ** 2, 0));
}

/**
 * How far numbers have moved from those of a row, in the norm and the units of the certification; null where
 * something else has changed, which radii say nothing about.
 */
function distance(model, cells, base) {
  const parts = [];
  for (const [j, column] of model.columns.entries()) {
    if (cells[j] === base[j] || !column.seen) continue;
    if (column.kind !== "numeric" || cells[j] === null || base[j] === null) return null;
    parts.push(Math.abs(cells[j] - base[j]) / model.live.scale[j]);
  }
  return normOf(parts, model.live.norm) * slack(parts.length);
}

/**
 * The radius within which no change of numbers changes the decision of a network without hidden layer and without
 * grid: the lead of the output that wins, divided by the dual norm of the weights. Infinity if none changes it.
 */
function linearRadius(model, cells) {
  const dual = { inf: "1", 1: "inf", 2: "2" }[model.live.norm];
  const [network] = model.members;
  const [layer] = network.layers;
  const x = network.features.map((i) => inputsOf(model, cells)[i]);
  const units = network.features.map((i) => (cells[i] === null ? 0 : model.live.scale[i]));
  const outputs = layer.weights.map((weights, i) => rational(x, weights, layer.bias[i]));
  const within = (lead, weights) => {
    const size = normOf(weights.map((w, j) => Math.abs(w) * units[j]), dual) * slack(x.length);
    return size === 0 ? Infinity : Math.abs(nearest(lead)) / size / slack(x.length);
  };
  if (outputs.length === 1) return within(outputs[0], layer.weights[0]);
  const winner = largest(x, layer, affine(x, layer));
  let radius = Infinity;
  outputs.forEach(([m, e], i) => {
    if (i === winner) return;
    const gap = layer.weights[winner].map((w, j) => w - layer.weights[i][j]);
    radius = Math.min(radius, within(added(outputs[winner], [-m, e]), gap));
  });
  return radius;
}

if (typeof module !== "undefined") Object.assign(module.exports, { distance, linearRadius });
