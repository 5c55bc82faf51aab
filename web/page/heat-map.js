// A Jacobian as a square of colours: blue where it is positive, orange where it is negative, by the square root of
// its size, so that what is small can be seen beside what is large.

import { shown } from "./bars.js";

const POSITIVE = [29, 78, 216];
const NEGATIVE = [217, 119, 6];

export class HeatMap {
  constructor(canvas, cell, least, most, ramp) {
    Object.assign(this, { canvas, cell, least, most, ramp, at: [0, 0] });
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const place = (offset, size) => Math.floor(offset / size * this.side);
      this.tell(place(event.clientY - box.top, box.height), place(event.clientX - box.left, box.width));
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step || !this.view) return;
      event.preventDefault();
      this.tell(this.at[0] + step[0], this.at[1] + step[1]);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(view) {
    this.view = { classes: view.classes, values: view.values };
    this.side = this.view.classes.length;
    this.at = [0, 0];
    this.draw();
    this.cell.textContent = "Point at a cell, or move with the arrow keys.";
  }

  draw() {
    if (!this.view) return;
    const { canvas, side } = this;
    const values = this.view.values;
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value) || 0), 0);
    const ground = matchMedia("(prefers-color-scheme: dark)").matches ? [26, 31, 38] : [255, 255, 255];
    const mixed = (value) => {
      const share = largest > 0 ? Math.sqrt(Math.abs(value) / largest) : 0;
      const end = value < 0 ? NEGATIVE : POSITIVE;
      return ground.map((from, channel) => Math.round(from + (end[channel] - from) * share));
    };
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    const image = context.createImageData(side, side);
    values.forEach((value, place) => {
      const [red, green, blue] = Number.isNaN(value) ? [128, 128, 128] : mixed(value);
      image.data.set([red, green, blue, 255], 4 * place);
    });
    context.putImageData(image, 0, 0);
    canvas.setAttribute("aria-label", `${side} × ${side} derivatives, at most ${shown(largest)} in size`);
    this.least.textContent = shown(-largest);
    this.most.textContent = shown(largest);
    const stops = [-1, -0.5, -0.1, 0, 0.1, 0.5, 1].map((share) =>
      `rgb(${mixed(share * largest)}) ${50 + 50 * share}%`);
    this.ramp.style.background = `linear-gradient(to right, ${stops})`;
  }

  tell(line, column) {
    const within = (place) => Math.max(0, Math.min(this.side - 1, place));
    this.at = [within(line), within(column)];
    const [i, j] = this.at;
    const classes = this.view.classes;
    this.cell.textContent = `∂y${subscript(classes[i])} / ∂x${subscript(classes[j])} = ` +
      shown(this.view.values[i * this.side + j]);
  }
}

function subscript(number) {
  return String(number).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
}
