// GB/s over the length of rows, for softmax and for the copy.

const WIDTH = 560;
const HEIGHT = 300;
const LEFT = 48;
const RIGHT = 28;
const TOP = 36;
const BOTTOM = 50;

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The least of 1, 2 and 5 times a power of ten that is no less. */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((times) => times * power).find((candidate) => candidate >= value);
}

export function lengthShown(classes) {
  return classes >= 1024 ? `${classes / 1024}K` : String(classes);
}

/** `points` are [classes, softmax, copy]. */
export function drawSpeed(place, points) {
  const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  svg.setAttribute("aria-label", "GB/s of softmax and of a copy over the length of rows; the numbers are below");
  const first = Math.log2(points[0][0]);
  const last = Math.max(first + 1, 18, Math.log2(points.at(-1)[0]));
  const step = rounded(Math.max(...points.flatMap((point) => point.slice(1))) / 5);
  const most = step * Math.ceil(Math.max(...points.flatMap((point) => point.slice(1))) / step);
  const x = (classes) => LEFT + (WIDTH - LEFT - RIGHT) * (Math.log2(classes) - first) / (last - first);
  const y = (rate) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate / most;
  for (let rate = 0; rate <= most * 1.0001; rate += step) {
    svg.append(element("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(rate), y2: y(rate) }));
    svg.append(element("text", { x: LEFT - 6, y: y(rate) + 4, "text-anchor": "end" }, Number(rate.toPrecision(3))));
  }
  for (let power = first; power <= last; power += 2) {
    svg.append(element("text", { x: x(2 ** power), y: HEIGHT - BOTTOM + 19, "text-anchor": "middle" }, lengthShown(2 ** power)));
  }
  svg.append(element("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "classes in a row"));
  svg.append(element("text", { x: LEFT - 6, y: 14, "text-anchor": "end" }, "GB/s"));
  [["softmax", 1], ["copy", 2]].forEach(([name, column]) => {
    const path = points.map((point) => `${x(point[0])},${y(point[column])}`).join(" ");
    svg.append(element("polyline", { class: name, points: path }));
    points.forEach((point) => svg.append(element("circle", { class: name, cx: x(point[0]), cy: y(point[column]), r: 3 })));
    svg.append(element("text", { class: name, x: WIDTH - RIGHT - (column === 1 ? 60 : 0), y: 14, "text-anchor": "end" }, name));
  });
  place.replaceChildren(svg);
}
