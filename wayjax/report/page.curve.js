// Training curves as SVG.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [340, 190];
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 52, 10, 36];

function draw(name, attributes, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

// Round values from 0 up to at least `high`.
function ticks(high) {
  const rough = high / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const tick = (_, k) => Number((k * step).toPrecision(6));
  return Array.from({ length: Math.ceil(high / step) + 1 }, tick);
}

// One panel: `ys` over `xs`, from zero; null where no point has a value.
function panel(label, xs, ys, show) {
  const points = xs.map((x, k) => [x, ys[k]]).filter((point) => point.every(Number.isFinite));
  if (!points.length) return null;
  const [across, up] = [xs, ys].map((values) => ticks(Math.max(...values, 0)));
  const right = Math.max(...xs) || 1;
  const toX = (x) => LEFT + (x / right) * (WIDTH - LEFT - RIGHT);
  const toY = (y) => HEIGHT - BOTTOM - (y / (up.at(-1) || 1)) * (HEIGHT - TOP - BOTTOM);
  const svg = draw("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": `${label} over steps, ${show(points[0][1])} to ${show(points.at(-1)[1])}`,
  });
  for (const y of up) {
    svg.append(
      draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: toY(y), y2: toY(y) }),
      draw("text", { x: LEFT - 6, y: toY(y) + 4, "text-anchor": "end" }, show(y)),
    );
  }
  for (const x of across.filter((tick) => tick <= right)) {
    const at = { x: toX(x), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" };
    svg.append(draw("text", at, x.toLocaleString("en")));
  }
  const middle = LEFT + (WIDTH - LEFT - RIGHT) / 2;
  svg.append(draw("text", { x: middle, y: HEIGHT - 4, "text-anchor": "middle" }, "step"));
  const path = points.map(([x, y]) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`).join(" ");
  svg.append(draw("polyline", { class: "curve", points: path }));
  const [x, y] = points.at(-1);
  svg.append(
    draw("circle", { class: "end", cx: toX(x), cy: toY(y), r: 3 }),
    draw("text", { class: "last", x: toX(x) + 7, y: toY(y) + 4 }, show(y)),
  );
  return make("figure", {}, make("figcaption", {}, label), svg);
}

// The panels of one entry; those without a single value are left out.
function panels(curve) {
  const plain = (value) => String(Number(value.toPrecision(3)));
  const values = (name) => curve[name] ?? [];
  return [
    panel("cross-entropy", curve.step, values("cross_entropy"), plain),
    panel("c-dist", curve.step, values("c_dist"), plain),
    panel("loss of the reader that is fooled", curve.step, values("reader_nll"), plain),
    panel("accuracy on dev, %", curve.step, values("dev_accuracy").map(percentage), plain),
  ].filter(Boolean);
}
