"use strict";
// How a model decides, exactly as bdnn's `predict` does. There is no page in here, so that Node runs it as well.
//
// A cell is a number, 0 or 1 for a truth value, the text of a level or of a date, or null where it is missing.
// Doubles are the same in JavaScript and in NumPy, but sums depend on their order. A sum is therefore trusted only
// where it is farther from 0 than any order of rounding could move it; else it is computed again in integers of any
// length (BigInt), which is what the module bdnn.exact.signs does with fractions.

const UNIT_ROUNDOFF = 2 ** -53;
const EXACT = 2 ** 53; // integers up to here are doubles, and so are their sums
const TINY = Number.MIN_VALUE;

// ---- cells to inputs

/** Year, month, day, weekday (0 for Monday) and hour of a date such as 2026-01-31T12:00:00. */
function datePartsOf(text) {
  const found = /^([+-]?\d+)-(\d\d)-(\d\d)(?:[T ](\d\d))?/.exec(text);
  if (found === null) throw new Error(`not a date: ${text}`);
  const [year, month, day] = found.slice(1, 4).map(Number);
  // days since 1970-01-01, in years that begin in March; that day was a Thursday
  const y = month > 2 ? year : year - 1;
  const era = Math.floor(y / 400);
  const ofEra = y - era * 400;
  const ofYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const days = era * 146097 + ofEra * 365 + Math.floor(ofEra / 4) - Math.floor(ofEra / 100) + ofYear - 719468;
  return [year, month, day, (((days + 3) % 7) + 7) % 7, found[4] === undefined ? 0 : Number(found[4])];
}

/** The group of a level among those that the network can tell apart; -1 if the training did not have it. */
function groupOf(column, level) {
  const own = column.levels.indexOf(level);
  if (own >= 0) return own;
  return column.rare.includes(level) ? column.levels.length : -1;
}

/** The inputs that a cell becomes. */
function inputsOfCell(column, cell) {
  if (!column.used) return [];
  const gap = cell === null;
  if (gap && column.fill === null) throw new Error(`${column.name} is missing, and the model has no replacement`);
  const value = gap ? column.fill : cell;
  let inputs;
  if (column.kind === "categorical") {
    inputs = new Array(column.n_values).fill(0);
    const groups = column.levels.length + (column.rare.length > 0 ? 1 : 0);
    const bit = groupOf(column, value) - (groups - column.n_values);
    if (bit >= 0) inputs[bit] = 1;
  } else if (column.kind === "date") {
    inputs = datePartsOf(value).slice(0, column.n_values);
  } else if (column.thresholds.length > 0) {
    inputs = column.thresholds.map((t) => (value >= t ? 1 : 0));
  } else {
    inputs = [value];
  }
  if (column.missing_bit) inputs.push(gap ? 1 : 0);
  return inputs;
}

/** The inputs of a row of cells. */
function inputsOf(model, cells) {
  return model.columns.flatMap((column, j) => inputsOfCell(column, cells[j]));
}

// ---- exact sums

/** A double as [m, e]: m times 2 to the power of e, both integers, m of any length. */
function binary(value) {
  if (value === 0) return [0n, 0];
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  const m = exponent === 0 ? fraction : fraction | 0x10000000000000n;
  return [value < 0 ? -m : m, Math.max(exponent, 1) - 1075];
}

function added([a, i], [b, j]) {
  return i <= j ? [a + (b << BigInt(j - i)), i] : [(a << BigInt(i - j)) + b, j];
}

/** weights · x + bias, exactly. */
function rational(x, weights, bias) {
  let total = binary(bias);
  for (let j = 0; j < x.length; j++) {
    if (x[j] === 0 || weights[j] === 0) continue;
    const [a, i] = binary(weights[j]);
    const [b, k] = binary(x[j]);
    total = added(total, [a * b, i + k]);
  }
  return total;
}

function isLess(a, b) {
  return added(a, [-b[0], b[1]])[0] < 0n;
}

/** A double near [m, e], of the same sign, 0 only for 0. */
function nearest([m, e]) {
  const size = m < 0n ? -m : m;
  const extra = Math.max(size.toString(2).length - 64, 0); // 64 leading bits, and whether any follow
  let top = size >> BigInt(extra);
  if (top << BigInt(extra) !== size) top |= 1n;
  let value = Number(top);
  let left = e + extra;
  for (; left > 0 && value < Infinity; left -= Math.min(left, 1000)) value *= 2 ** Math.min(left, 1000);
  for (; left < 0 && value > 0; left += Math.min(-left, 1000)) value *= 2 ** -Math.min(-left, 1000);
  if (value === 0 && size > 0n) value = TINY;
  return m < 0n ? -value : value;
}

/**
 * A layer's pre-activations with exact signs.
 *
 * `errors` bound how far each may be from the one that NumPy computes; 0 where both are exact.
 */
function affine(x, layer) {
  const values = [];
  const errors = [];
  const whole = x.every(Number.isInteger) && layer.integer;
  layer.weights.forEach((weights, i) => {
    let value = 0;
    let size = Math.abs(layer.bias[i]);
    let any = false;
    for (let j = 0; j < x.length; j++) {
      value += weights[j] * x[j];
      size += Math.abs(weights[j] * x[j]);
      any ||= weights[j] !== 0;
    }
    value += layer.bias[i];
    let error = 0;
    if (!any) {
      value = layer.bias[i];
    } else if (!(whole && size < EXACT)) {
      // 1.01, since the size is itself rounded; the last term is for products that underflow
      error = 1.01 * (x.length + 2) * UNIT_ROUNDOFF * size + (x.length + 1) * TINY;
      if (!(Math.abs(value) > error)) {
        value = nearest(rational(x, weights, layer.bias[i]));
        if (value === 0) error = 0;
      }
    }
    values.push(value);
    errors.push(error);
  });
  return { values, errors };
}

/** The output of the largest pre-activation, the first of equal ones. */
function largest(x, layer, out) {
  const sure = Math.max(...out.values.map((value, i) => value - out.errors[i]));
  const candidates = [];
  out.values.forEach((value, i) => {
    if (!(value + out.errors[i] < sure)) candidates.push(i);
  });
  let best = candidates[0];
  if (candidates.length === 1) return best;
  let most = rational(x, layer.weights[best], layer.bias[best]);
  for (const i of candidates.slice(1)) {
    const other = rational(x, layer.weights[i], layer.bias[i]);
    if (isLess(most, other)) [best, most] = [i, other];
  }
  return best;
}

// ---- a network, and a vote

/** The nearest integer, the even one of two. */
function rounded(value) {
  const size = Math.abs(value);
  return size >= 2 ** 52 ? value : Math.sign(value) * (size + 2 ** 52 - 2 ** 52);
}

/** Inputs as integers of a grid, in double arithmetic. */
function onGrid(grid, x) {
  return x.map((value, j) => {
    const at = rounded((value - grid.offset[j]) / grid.step[j]);
    return Math.min(Math.max(at, 0), 2 ** grid.bits - 1);
  });
}

/** What a network does with the inputs of a row: signals of all layers, pre-activations, and the output that wins. */
function run(network, row) {
  const x = network.features.map((i) => row[i]);
  const signals = [network.grid === null ? x : onGrid(network.grid, x)];
  const sums = [];
  for (const layer of network.layers) {
    const last = signals[signals.length - 1];
    const out = affine(last, layer);
    sums.push(out);
    signals.push(out.values.map((value) => (value >= 0 ? 1 : 0)));
  }
  const before = signals[signals.length - 2];
  const top = network.layers[network.layers.length - 1];
  const out = sums[sums.length - 1];
  const winner = out.values.length === 1 ? signals[signals.length - 1][0] : largest(before, top, out);
  return { signals, sums: sums.map((each) => each.values), errors: out.errors, winner };
}

/** What a member of an ensemble adds to the sum of each of its classes, and how far NumPy may be from that. */
function shares(network, ran) {
  const values = ran.sums[ran.sums.length - 1];
  if (values.length > 2) return { values, errors: ran.errors };
  const integer = network.layers[0].integer;
  let value = values[0];
  let error = ran.errors[0];
  if (values.length === 2) {
    value = values[1] - values[0];
    error += ran.errors[1];
    value = integer ? 2 * value - 1 : value;
  } else {
    value = integer ? 2 * value + 1 : value;
  }
  error *= integer ? 2 : 1;
  if (!(integer && Number.isInteger(value) && Math.abs(value) < EXACT)) error += 4 * UNIT_ROUNDOFF * Math.abs(value);
  return { values: [-value, value], errors: [error, error] };
}

/**
 * The decision on a row of cells.
 *
 * `sure` is false only where sums of an ensemble's continuous weights are so near to each other that the order in which
 * NumPy adds them decides; a single network is decided exactly.
 */
function decide(model, cells) {
  const row = inputsOf(model, cells);
  const members = model.members.map((network) => run(network, row));
  if (model.voting === null) {
    const [ran] = members;
    return { code: model.members[0].codes[ran.winner], sure: true, members, votes: null, sums: null, inputs: row };
  }
  const classes = model.classes.length;
  const votes = new Array(classes).fill(0);
  const sums = new Array(classes).fill(0);
  const errors = new Array(classes).fill(0);
  const sizes = new Array(classes).fill(0);
  model.members.forEach((network, k) => {
    const share = shares(network, members[k]);
    network.codes.forEach((code, i) => {
      if (code < 0) return;
      sums[code] += share.values[i];
      sizes[code] += Math.abs(share.values[i]);
      errors[code] += share.errors[i];
    });
    const chosen = network.codes[members[k].winner];
    if (chosen >= 0) votes[chosen] += 1;
  });
  const whole = model.members.every((network) => network.layers[0].integer);
  for (let c = 0; c < classes; c++) {
    // additions of integers are exact; so is the sum of a single share
    if (!(whole && sizes[c] < EXACT)) errors[c] += 1.01 * model.members.length * UNIT_ROUNDOFF * sizes[c];
  }
  const most = Math.max(...votes);
  const open = sums.map((_, c) => model.voting === "sum" || votes[c] === most);
  let code = -1;
  for (let c = 0; c < classes; c++) if (open[c] && (code < 0 || sums[c] > sums[code])) code = c;
  const sure = sums.every(
    (sum, c) => c === code || !open[c] || errors[c] + errors[code] === 0 || sums[code] - sum > errors[c] + errors[code],
  );
  return { code, sure, members, votes, sums, inputs: row };
}

if (typeof module !== "undefined") module.exports = { decide, datePartsOf, nearest, rational };
