// The page: sliders and other controls of one row, and what the model makes of it. Names from data enter as text only.

const MOST_LISTED = 200; // neurons in the table: nobody reads more
const model = JSON.parse(document.getElementById("data").textContent);
const state = { row: 0, cells: [], shown: null, show: null, member: 0 };
const controls = [];

const byId = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** A number in full if it is whole, else to six digits. */
function shown(value) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "−∞" : "unknown";
  return Number.isInteger(value) && Math.abs(value) < 1e15 ? String(value) : String(Number(value.toPrecision(6)));
}

/** A cell as text, in full. */
function cellText(column, cell) {
  if (cell === null) return "missing";
  if (column.kind === "boolean") return cell === 1 ? "true" : "false";
  return column.kind === "date" ? cell.replace("T00:00:00", "") : String(cell);
}

/** Set text only if it changes, so that a screen reader says only what is new. */
function say(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

// ---- controls of columns: each has `read`, which returns the cell, and `write`, which shows one

function numberControl(column, id, moved) {
  const { low, high, exponent } = column.ruler;
  // the double nearest to the decimal number, as it would be read from a table
  const valueOf = (steps) => (Number.isSafeInteger(steps) ? Number(`${steps}e${exponent}`) : steps * 10 ** exponent);
  const slider = element("input", { type: "range", id, min: String(low), max: String(high), step: "1" });
  const field = element("input", { type: "number", step: "any", "aria-label": `${column.name}, exact value` });
  let value = 0;
  const say = () => slider.setAttribute("aria-valuetext", String(value));
  slider.addEventListener("input", () => {
    value = valueOf(Number(slider.value));
    field.value = String(value);
    say();
    moved();
  });
  field.addEventListener("input", () => {
    const typed = Number(field.value);
    const good = field.value.trim() !== "" && Number.isFinite(typed);
    field.setAttribute("aria-invalid", String(!good));
    if (!good) return;
    value = typed;
    slider.value = String(Math.round(typed / 10 ** exponent));
    say();
    moved();
  });
  const ends = element("span", { className: "ends" }, `${shown(valueOf(low))} to ${shown(valueOf(high))} in the table`);
  return {
    parts: [slider, field, ends],
    read: () => value,
    write: (cell) => {
      value = cell;
      field.value = String(cell);
      field.setAttribute("aria-invalid", "false");
      slider.value = String(Math.round(cell / 10 ** exponent));
      say();
    },
  };
}

function choiceControl(column, id, moved) {
  const values = column.kind === "boolean" ? [0, 1] : [...column.levels, ...column.rare];
  const select = element("select", { id });
  const option = (value, text) => element("option", { value: String(values.indexOf(value)) }, text);
  const own = column.kind === "boolean" ? values : column.levels;
  select.append(...own.map((value) => option(value, cellText(column, value))));
  if (column.rare.length > 0) {
    select.append(element("optgroup", { label: "rare, which count as one" }, ...column.rare.map((v) => option(v, v))));
  }
  if (column.kind === "categorical") {
    let other = "any other";
    while (values.includes(other)) other += " one";
    values.push(other);
    select.append(option(other, "(any other)"));
  }
  select.addEventListener("change", moved);
  return {
    parts: [select],
    read: () => values[Number(select.value)],
    write: (cell) => {
      if (!values.includes(cell)) {
        values.push(cell); // of a row, and not seen in the training
        select.append(option(cell, `${cell} (not seen in the training)`));
      }
      select.value = String(values.indexOf(cell));
    },
  };
}

function dateControl(column, id, moved) {
  const hours = column.n_values === 5;
  const field = element("input", { type: hours ? "datetime-local" : "date", id, step: hours ? "1" : "any" });
  let value = "";
  field.addEventListener("input", () => {
    if (field.value === "") return;
    value = hours ? field.value : `${field.value}T00:00:00`;
    moved();
  });
  return {
    parts: [field],
    read: () => value,
    write: (cell) => {
      value = cell;
      field.value = cell.slice(0, hours ? 19 : 10);
    },
  };
}

function controlOf(column, j) {
  const id = `column-${j}`;
  const moved = () => {
    state.cells[j] = control.read();
    update();
  };
  const make = { numeric: numberControl, date: dateControl }[column.kind] ?? choiceControl;
  const inner = make(column, id, moved);
  const usual = column.usual ?? column.fill ?? (column.kind === "numeric" ? 0 : column.kind === "boolean" ? 0 : null);
  const box = element("input", { type: "checkbox", id: `${id}-missing` });
  const disable = (off) => inner.parts.forEach((part) => {
    if ("disabled" in part) part.disabled = off;
  });
  box.addEventListener("change", () => {
    disable(box.checked);
    moved();
  });
  const control = {
    read: () => (box.checked ? null : inner.read()),
    write: (cell) => {
      box.checked = cell === null;
      if (cell !== null || usual !== null) inner.write(cell ?? usual);
      disable(cell === null);
    },
  };
  const parts = element("div", { className: "parts" }, element("label", { className: "name", htmlFor: id }, column.name));
  parts.append(...inner.parts.slice(0, 2));
  if (column.fill !== null) {
    const counts = `, which counts as ${cellText(column, column.fill)}${column.missing_bit ? " and as missing" : ""}`;
    const label = element("label", { htmlFor: box.id }, " missing");
    label.append(element("span", { className: "ends" }, counts));
    parts.append(element("span", {}, box, label));
    box.setAttribute("aria-label", `${column.name} is missing${counts}`);
  }
  parts.append(...inner.parts.slice(2));
  byId("columns").append(element("div", { className: "column" }, parts));
  controls.push({ j, control });
}

// ---- what is shown

function update() {
  const result = decide(model, state.cells);
  state.shown = result;
  say("answer", `Decision: ${model.classes[result.code]}`);
  byId("unsure").hidden = result.sure;
  showOutputs(result);
  const network = model.members[state.member];
  const ran = result.members[state.member];
  state.show(ran);
  say("fired", firedText(model, network, ran));
  showNeurons(network, ran);
  showScore(result);
  showRobustness(result);
  const isMoved = !sameCells(state.cells, model.rows[state.row]);
  byId("back").disabled = !isMoved;
}

function filled(table, head, rows, chosen = -1) {
  const cells = (each, scope) =>
    each.map((text, i) => (i === 0 || scope === "col" ? element("th", { scope: scope ?? "row" }, text) : element("td", {}, text)));
  const body = rows.map((row, n) => element("tr", { className: n === chosen ? "chosen" : "" }, ...cells(row)));
  table.replaceChildren(element("thead", {}, element("tr", {}, ...cells(head, "col"))), element("tbody", {}, ...body));
}

function showOutputs(result) {
  const table = byId("outputs");
  const marked = (name, c) => (c === result.code ? `▸ ${name}` : name);
  if (model.voting !== null) {
    const rows = [["sum", ...result.sums.map(shown)], ["networks that vote for it", ...result.votes.map(String)]];
    filled(table, ["class", ...model.classes.map(marked)], model.voting === "sum" ? rows : rows.reverse());
    return;
  }
  const sums = result.members[0].sums[result.members[0].sums.length - 1];
  if (sums.length > 1) {
    filled(table, ["class", ...model.classes.map(marked)], [["sum of the output", ...sums.map(shown)]]);
  } else {
    const [low, high] = model.classes;
    filled(table, ["sum of the output", marked(`below 0: ${low}`, 0), marked(`at least 0: ${high}`, 1)],
      [[shown(sums[0]), result.code === 0 ? "✓" : "", result.code === 1 ? "✓" : ""]]);
  }
}

function showNeurons(network, ran) {
  const rows = [];
  network.layers.forEach((layer, k) => {
    const last = k === network.layers.length - 1;
    layer.bias.forEach((_, i) => {
      const wins = last && layer.bias.length > 1;
      const on = wins ? (i === ran.winner ? "wins" : "") : ran.signals[k + 1][i] ? "fires" : "does not fire";
      rows.push([last ? `output ${outputName(model, network, i)}` : `layer ${k + 1}, neuron ${i + 1}`, shown(ran.sums[k][i]), on]);
    });
  });
  const more = rows.length - MOST_LISTED;
  const listed = more > 0 ? [...rows.slice(0, MOST_LISTED), [`and ${more} more`, "", ""]] : rows;
  filled(byId("neurons"), ["neuron", "sum", ""], listed);
}

function showScore(result) {
  if (!model.card) return;
  const sums = result.members[0].sums[0];
  const total = model.threshold === null
    ? model.classes.map((name, c) => `${name} ${shown(sums[c])}`).join(", ")
    : shown(sums[0] + model.threshold);
  say("score", `At these inputs the score is ${total}.`);
}

function sameCells(a, b) {
  return model.columns.every((column, j) => !column.seen || a[j] === b[j]);
}

function radiusText(known, name) {
  const keeps = `keeps the decision on ${name}`;
  if (known.radius === null) return `Proven: every change of numbers ${keeps}.`;
  // in full, since a proof does not hold for more digits of a rounded number
  const far = String(known.radius);
  if (known.undecided) {
    return `Proven: every change of numbers by up to ${far} ${keeps}. Whether a larger one does was not decided in the time.`;
  }
  const reach = known.attained ? "less than that" : "up to that";
  return `Certified radius ${far}. Proven: every change of numbers by ${reach} ${keeps}.`;
}

function showRobustness(result) {
  const name = `row ${model.numbers[state.row]}`;
  const known = model.certified === null ? null : model.certified[state.row];
  say("certified", known === null ? model.why : radiusText(known, name));
  byId("attack").hidden = known === null || known.attack === null;
  byId("where").hidden = known === null;
  if (known !== null) {
    say("where", whereText(known, name));
    if (known.attack !== null) showAttack(known);
  }
  byId("live").hidden = model.live === null || model.live.rule === null;
  if (!byId("live").hidden) say("live-text", liveText());
}

function liveText() {
  const radius = model.live.rule === "box" ? boxRadius(model, state.cells) : linearRadius(model, state.cells);
  const computed = "The page computed this from the weights and rounded it down";
  const more = model.live.exact ? `${computed}.` : `${computed}; perhaps larger changes keep the decision, too.`;
  if (radius === 0) return model.live.exact ? "The least change of numbers may change this decision." : "The page finds no radius here.";
  if (radius === Infinity) return `No change of numbers changes this decision. ${more}`;
  return `No change of numbers by less than ${radius} changes this decision. ${more}`;
}

function whereText(known, name) {
  const base = model.rows[state.row];
  if (sameCells(state.cells, base)) return `The inputs are those of ${name}.`;
  if (known.attack !== null && sameCells(state.cells, known.attack)) return `The inputs are those of the nearest attack on ${name}.`;
  const far = model.live === null ? null : distance(model, state.cells, base);
  const within = far !== null && (known.radius === null || (known.attained ? far < known.radius : far <= known.radius));
  if (within) return `The inputs are at distance ${far} from ${name}, within its radius: the decision is proven to be the same.`;
  return `The inputs have moved. The radius is that of ${name} as it is in the table.`;
}

function showAttack(known) {
  const base = model.rows[state.row];
  const rows = model.columns.flatMap((column, j) =>
    known.attack[j] === base[j] ? [] : [[column.name, cellText(column, base[j]), cellText(column, known.attack[j])]]);
  say("attacked", `At distance ${known.distance}, the decision is ${model.classes[known.code]}.`);
  filled(byId("changes"), ["column", `row ${model.numbers[state.row]}`, "attack"], rows);
}

function load(cells) {
  state.cells = cells.slice();
  for (const { j, control } of controls) control.write(cells[j]);
  update();
}

function choose(k) {
  state.row = k;
  byId("rows").value = String(k);
  const label = model.labels[k];
  say("label", label === null ? "" : `The label of this row in the table is ${label}.`);
  load(model.rows[k]);
}

function draw() {
  state.show = drawn(byId("drawing"), model, model.members[state.member]);
}

/** Decide all rows and attacks that bdnn decided, and say whether the answers are the same. */
function check() {
  const wrong = [];
  let attacks = 0;
  model.rows.forEach((cells, k) => {
    const name = `row ${model.numbers[k]}`;
    const same = (given, code) => {
      const found = decide(model, given);
      return found.code === code || !found.sure;
    };
    if (!same(cells, model.codes[k])) wrong.push(name);
    const known = model.certified === null ? null : model.certified[k];
    if (known !== null && known.attack !== null) {
      attacks += 1;
      if (!same(known.attack, known.code)) wrong.push(`the attack on ${name}`);
    }
  });
  const many = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  byId("check").textContent = `Checked in this browser: the decisions on ${many(model.rows.length, "row")}${attacks > 0 ? ` and ${many(attacks, "attack")}` : ""} are those of bdnn.`;
  if (wrong.length === 0) return;
  byId("check").hidden = true;
  byId("failure").hidden = false;
  byId("failure").textContent = `This browser decides otherwise than bdnn: ${wrong.join(", ")}. Do not rely on this page.`;
}

function begin() {
  model.columns.forEach((column, j) => {
    if (column.seen) controlOf(column, j);
  });
  const unseen = model.columns.filter((column) => !column.seen).map((column) => column.name);
  if (unseen.length > 0) {
    byId("unseen").hidden = false;
    byId("unseen").querySelector("summary").append(`: ${unseen.length}`);
    byId("unseen").querySelector("ul").append(...unseen.map((name) => element("li", {}, name)));
  }
  byId("rows").append(...model.rows.map((_, k) => {
    const label = model.labels[k] === null ? "" : `label ${model.labels[k]}, `;
    return element("option", { value: String(k) }, `row ${model.numbers[k]}: ${label}decided ${model.classes[model.codes[k]]}`);
  }));
  byId("rows").addEventListener("change", () => choose(Number(byId("rows").value)));
  byId("back").addEventListener("click", () => {
    load(model.rows[state.row]);
    byId("rows").focus(); // the button is disabled now
  });
  byId("to-attack").addEventListener("click", () => load(model.certified[state.row].attack));
  byId("members").hidden = model.members.length === 1;
  byId("member").append(...model.members.map((network, k) => {
    const names = [...new Set(network.codes)].map((code) => (code < 0 ? "any other" : model.classes[code]));
    return element("option", { value: String(k) }, `${k + 1} of ${model.members.length}: ${names.join(", ")}`);
  }));
  byId("member").addEventListener("change", () => {
    state.member = Number(byId("member").value);
    draw();
    update();
  });
  byId("key").textContent = "Filled: fires, or is 1. Solid lines are positive weights, dashed lines negative ones; wide lines are large beside the others of their neuron, bright ones carry a signal.";
  draw();
  choose(0);
  check();
}

begin();
