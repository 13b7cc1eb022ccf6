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
 * The radius in any norm within which no change of numbers changes the decision of a network without hidden layer and
 * without grid: the lead of the output that wins, divided by the dual norm of the weights. Infinity if none changes it.
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

// ---- norm inf: each number moves by itself, so that what a sum of columns can become is the sum of what they can

/** A double that is surely below, for a sign of -1, or above. */
function outward(value, sign) {
  return value + sign * (Math.abs(value) * 2 ** -51 + TINY);
}

/**
 * The inputs that a column can have, as a network sees them, if its number moves by up to `reach`; of numbers that
 * are inputs as they are, the two ends, since all else lies between them.
 */
function statesOf(column, cell, reach) {
  if (column.kind !== "numeric" || cell === null || reach === 0) return [inputsOfCell(column, cell)];
  const low = Math.max(outward(cell - reach, -1), -Number.MAX_VALUE);
  const high = Math.min(outward(cell + reach, 1), Number.MAX_VALUE);
  const values = column.thresholds.length === 0 ? [low, high] : [low, ...column.thresholds.filter((t) => t > low && t <= high)];
  return values.map((value) => inputsOfCell(column, value));
}

/** From where to where a sum can go over the states of all columns, and a bound on the rounding of either end. */
function rangeOf(states, weights, bias) {
  let [low, high, size] = [bias, bias, Math.abs(bias)];
  let whole = Number.isInteger(bias);
  let n = 1;
  for (const { at, vectors } of states) {
    let [least, most] = [Infinity, -Infinity];
    for (const vector of vectors) {
      let sum = 0;
      for (let i = 0; i < vector.length; i++) {
        const term = weights[at + i] * vector[i];
        sum += term;
        size += Math.abs(term);
        whole &&= Number.isInteger(term);
      }
      n += vector.length;
      least = Math.min(least, sum);
      most = Math.max(most, sum);
    }
    low += least;
    high += most;
  }
  // a little more than for a sum, since the weights may be rounded themselves: they may be differences
  const error = whole && size < EXACT ? 0 : 1.01 * (n + 4) * UNIT_ROUNDOFF * size + n * TINY;
  return [low - error, high + error];
}

/** The columns of a network, each with its inputs in the order of the network and, of a grid, on it. */
function reached(model, network, cells, radius) {
  const place = new Map(network.features.map((feature, i) => [feature, i]));
  const states = [];
  let first = 0;
  let at = 0;
  model.columns.forEach((column, j) => {
    const mine = [];
    for (let i = first; i < first + column.n_inputs; i++) if (place.has(i)) mine.push(i);
    if (mine.length > 0) {
      const vectors = statesOf(column, cells[j], radius * model.live.scale[j] * slack(1)).map((inputs) => {
        const x = mine.map((i) => inputs[i - first]);
        if (network.grid === null) return x;
        const { offset, step, bits } = network.grid;
        return onGrid({ offset: offset.slice(at, at + x.length), step: step.slice(at, at + x.length), bits }, x);
      });
      states.push({ at, vectors });
      at += mine.length;
    }
    first += column.n_inputs;
  });
  return states;
}

/** Whether interval arithmetic proves that no change of numbers by up to a radius changes a decision. */
function isKept(model, network, cells, radius, winner) {
  let states = reached(model, network, cells, radius);
  for (const layer of network.layers.slice(0, -1)) {
    states = layer.weights.map((weights, i) => {
      const [low, high] = rangeOf(states, weights, layer.bias[i]);
      return { at: i, vectors: low >= 0 ? [[1]] : high < 0 ? [[0]] : [[0], [1]] };
    });
  }
  const { weights, bias } = network.layers[network.layers.length - 1];
  if (bias.length === 1) {
    const [low, high] = rangeOf(states, weights[0], bias[0]);
    return winner === 1 ? low >= 0 : high < 0;
  }
  return bias.every((_, i) => {
    if (i === winner) return true;
    const gap = weights[winner].map((w, j) => w - weights[i][j]);
    const [low] = rangeOf(states, gap, bias[winner] - bias[i]);
    return i < winner ? low > 0 : low >= 0;
  });
}

/**
 * A radius in norm inf within which no change of numbers changes the decision: the largest one that interval arithmetic
 * proves, rounded down. Of networks without hidden layer that is the certified radius; of others, it may be less.
 */
function boxRadius(model, cells) {
  const [network] = model.members;
  const { winner } = run(network, inputsOf(model, cells));
  const kept = (radius) => isKept(model, network, cells, radius, winner);
  if (kept(Number.MAX_VALUE / 4)) return Infinity;
  let low = 0;
  let high = 1;
  while (kept(high)) [low, high] = [high, high * 16];
  if (low === 0) {
    while (high > 0 && !kept(high / 1024)) high /= 1024;
    low = high / 1024;
  }
  for (let k = 0; k < 48 && low > 0; k++) {
    const middle = (low + high) / 2;
    if (kept(middle)) low = middle;
    else high = middle;
  }
  return low;
}

if (typeof module !== "undefined") Object.assign(module.exports, { boxRadius, distance, linearRadius });
