// A network as a drawing: inputs on the left, neurons that fire filled, outputs on the right.

const MOST_NODES = 24; // of a layer that are drawn: more lines cannot be told apart
const [ROW, LAYER, LABELS, TOP, LETTER] = [26, 130, 165, 30, 7.6]; // pixels
const LONGEST = 26; // letters of a name; the others are cut, and shown by a tooltip
const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

function shortened(text, most) {
  const letters = [...text];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
}

/** How far an input goes, so that weights of inputs in different units compare. */
function spreads(model, network) {
  const columns = model.columns.flatMap((column, j) => new Array(column.n_inputs).fill(j));
  return network.features.map((i) => {
    if (network.grid !== null) return model.inputs[i].bit ? 1 : 2 ** network.grid.bits - 1;
    const { ruler } = model.columns[columns[i]];
    return model.inputs[i].bit || ruler === undefined ? 1 : (ruler.high - ruler.low) * 10 ** ruler.exponent || 1;
  });
}

/** The places of the most important of some nodes, in order. */
function kept(importance) {
  const order = importance.map((_, i) => i).sort((a, b) => importance[b] - importance[a] || a - b);
  return order.slice(0, MOST_NODES).sort((a, b) => a - b);
}

/** Draw a network into a place; returns a function that shows what it did with a row. */
function drawn(place, model, network) {
  const scale = spreads(model, network);
  const weights = network.layers.map((layer, k) => layer.weights.map((row) => row.map((w, j) => (k === 0 ? w * scale[j] : w))));
  const sizes = [network.features.length, ...network.layers.map((layer) => layer.bias.length)];
  const nodes = sizes.map((size, k) => {
    if (k === sizes.length - 1) return kept(new Array(size).fill(0));
    return kept(new Array(size).fill(0).map((_, j) => Math.max(0, ...weights[k].map((row) => Math.abs(row[j])))));
  });
  const tallest = Math.max(1, ...nodes.map((each) => each.length));
  const letters = Math.max(4, ...nodes[0].map((j) => Math.min([...model.inputs[network.features[j]].name].length, LONGEST)));
  const names = 24 + LETTER * letters;
  const width = names + LAYER * network.layers.length + LABELS;
  const height = TOP + ROW * (tallest + 1);
  const picture = svg("svg", { role: "img", width, height, viewBox: `0 0 ${width} ${height}` });
  const x = (k) => names + k * LAYER;
  const y = (k, n) => TOP + ROW * (n + 0.5 + (tallest - nodes[k].length) / 2);
  const lines = [];
  weights.forEach((layer, k) => {
    nodes[k + 1].forEach((i, n) => {
      const most = Math.max(...layer[i].map(Math.abs), 0);
      nodes[k].forEach((j, m) => {
        if (layer[i][j] === 0) return;
        const line = svg("line", {
          x1: x(k), y1: y(k, m), x2: x(k + 1), y2: y(k + 1, n),
          "stroke-width": (0.6 + (3 * Math.abs(layer[i][j])) / most).toFixed(2),
        });
        picture.append(line);
        lines.push({ line, k, j, sign: layer[i][j] > 0 ? "plus" : "minus" });
      });
    });
  });
  const circles = [];
  nodes.forEach((each, k) => {
    const last = k === sizes.length - 1;
    const title = k === 0 ? "inputs" : last ? "outputs" : `layer ${k}`;
    picture.append(svg("text", { x: x(k), y: 16, "text-anchor": "middle", class: "more" }, title));
    each.forEach((i, n) => {
      const at = { class: "node" };
      const node = k === 0
        ? svg("rect", { ...at, x: x(k) - 6, y: y(k, n) - 6, width: 12, height: 12 })
        : svg("circle", { ...at, cx: x(k), cy: y(k, n), r: 9 });
      picture.append(node);
      circles.push({ node, k, i });
      if (k === 0) {
        const { name } = model.inputs[network.features[i]];
        const text = svg("text", { x: x(k) - 14, y: y(k, n) + 4, "text-anchor": "end" }, shortened(name, LONGEST));
        text.append(svg("title", {}, name));
        picture.append(text);
      } else if (last) {
        picture.append(svg("text", { x: x(k) + 18, y: y(k, n) + 4 }, shortened(outputName(model, network, i), 20)));
      }
    });
    const more = sizes[k] - each.length;
    if (more > 0) picture.append(svg("text", { x: x(k), y: height - 6, "text-anchor": "middle", class: "more" }, `and ${more} more`));
  });
  place.replaceChildren(picture);
  return (ran) => {
    const isBit = (j) => network.grid !== null || model.inputs[network.features[j]].bit;
    const fires = (k, i) => ran.signals[k][i] !== 0 && (k > 0 || isBit(i));
    for (const { line, k, j, sign } of lines) {
      const on = k === 0 ? ran.signals[0][j] !== 0 : fires(k, j);
      line.setAttribute("class", on ? `${sign} on` : sign);
    }
    for (const { node, k, i } of circles) {
      const last = k === sizes.length - 1;
      // outputs that compete do not fire: the winner is marked
      const on = last && sizes[k] > 1 ? i === ran.winner : fires(k, i);
      node.setAttribute("class", `node${on ? " on" : ""}${last && on ? " won" : ""}`);
    }
    picture.setAttribute("aria-label", `Drawing of the network. ${firedText(model, network, ran)}`);
  };
}

/** What an output stands for. */
function outputName(model, network, i) {
  const name = (code) => (code < 0 ? "any other class" : model.classes[code]);
  return network.layers[network.layers.length - 1].bias.length === 1 ? `fires: ${name(network.codes[1])}` : name(network.codes[i]);
}

/** Which neurons of hidden layers fire, in words. */
function firedText(model, network, ran) {
  const hidden = network.layers.slice(0, -1);
  if (hidden.length === 0) return "There is no hidden layer: outputs add up weighted inputs.";
  return hidden
    .map((layer, k) => {
      const on = ran.signals[k + 1].flatMap((fires, i) => (fires ? [i + 1] : []));
      const which = on.length > 40 ? `${on.slice(0, 40).join(", ")} and others` : on.join(", ");
      const name = hidden.length === 1 ? "Hidden layer" : `Hidden layer ${k + 1}`;
      return on.length === 0 ? `${name}: none of ${layer.bias.length} neurons fires.` : `${name}: ${on.length} of ${layer.bias.length} neurons fire: ${which}.`;
    })
    .join(" ");
}
