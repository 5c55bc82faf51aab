// What a person does with the page: bring logits, choose, look at rows, save the result, measure the GPU.

import init, { Calculator, Logits } from "./wgpu_softmax_web.js";
import { drawBars, shown } from "./bars.js";
import { HeatMap } from "./heat-map.js";
import { drawSpeed } from "./speed-chart.js";
import { openWithSubgroups } from "./subgroups.js";

const the = (id) => document.getElementById(id);
const FEW_CLASSES = 20;

let calculator;
let logits;
let answer;
let name = "numbers";
let classesShown = FEW_CLASSES;
// Each computation's number: what was overtaken by a later one is not shown.
let latest = 0;

const map = new HeatMap(the("map"), the("cell"), the("least"), the("most"), document.querySelector(".ramp"));

function say(error) {
  const message = error instanceof Error ? error.message : String(error);
  the("error").textContent = message ? message[0].toUpperCase() + message.slice(1) : "";
}

/** What the browser is willing to say of its adapter. */
function named(adapter) {
  const { vendor, architecture, device, description } = adapter.info ?? {};
  const words = [vendor, architecture, device, description].filter(Boolean);
  return [...new Set(words)].join(" ") || "an adapter that the browser does not name";
}

/** Opens `auto`, `gpu` or `cpu`; says what it came to, and why where that is not what was asked for. */
async function open(choice) {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  let note = "";
  if (!navigator.gpu) {
    note = "This browser has no WebGPU, or keeps it from pages that do not come by HTTPS";
  } else if (!adapter) {
    note = "This browser has WebGPU, but no GPU for it";
  }
  if (note) {
    note += ", so the CPU computes everything: the same numbers, within the same bounds.";
    calculator = await Calculator.open("cpu");
    the("processor").value = "cpu";
    the("processor").disabled = true;
  } else {
    calculator = await openWithSubgroups(Calculator, choice);
    if (choice === "auto" && !calculator.onGpu) {
      note = `The only adapter here, ${named(adapter)}, computes on the CPU itself, more slowly than this page does. ` +
        "Choose “GPU” to use it all the same.";
    }
  }
  const subgroups = calculator.subgroupLanes > 0 ? `, with subgroups of ${calculator.subgroupLanes} lanes` : "";
  the("device").textContent = calculator.onGpu
    ? `Runs on the GPU by WebGPU: ${named(adapter)}${subgroups}.` : "Runs on the CPU, in WebAssembly.";
  the("note").hidden = !note;
  the("note").textContent = note;
  the("measure").disabled = !calculator.onGpu;
  the("measured").textContent = calculator.onGpu ? "" : "What runs here is the CPU: there is no GPU to measure.";
}

function take(taken, from) {
  const axes = taken.shape.length;
  logits = taken;
  name = from;
  const chosen = the("axis").value;
  const options = Array.from(taken.shape, (length, axis) => new Option(`${axis} (${length} long)`, axis));
  the("axis").replaceChildren(...options);
  the("axis").value = chosen !== "" && Number(chosen) < axes && chosen !== the("axis").dataset.last ? chosen : axes - 1;
  the("axis").dataset.last = axes - 1;
  the("row").value = 0;
  classesShown = FEW_CLASSES;
}

async function takeFile(file) {
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    take(Logits.fromNpy(bytes), file.name.replace(/\.npy$/, ""));
    the("file-name").textContent = `${file.name}: ${[...logits.shape].join(" × ")}, ${logits.stored}`;
    the("forget").hidden = false;
    the("text").disabled = true;
  } catch (error) {
    refuse(`${file.name} cannot be read: ${error.message ?? error}`);
    the("file-name").textContent = "";
    return;
  }
  await compute();
}

async function takeText() {
  try {
    take(Logits.fromText(the("text").value), "numbers");
  } catch (error) {
    refuse(error);
    return;
  }
  await compute();
}

/** Nothing is left to be seen that is no answer to what stands there now. */
function refuse(error) {
  latest += 1;
  say(error);
  the("result").hidden = true;
  the("jacobian").hidden = true;
  answer = undefined;
}

async function compute() {
  if (!logits || !calculator) return;
  const mine = ++latest;
  const temperature = the("temperature").valueAsNumber;
  if (!(temperature > 0)) {
    refuse("the temperature must be a number greater than 0");
    return;
  }
  try {
    const computed = await calculator.compute(logits, the("op").value, Number(the("axis").value), temperature);
    if (mine !== latest) return;
    say("");
    answer = computed;
    const shape = [...computed.shape].join(" × ") || "a single value";
    the("summary").textContent = `${the("op").selectedOptions[0].text}: ${shape}, of ${computed.rows} row(s) of ` +
      `${computed.classes} classes, in ${computed.milliseconds.toFixed(1)} ms with the way there and back`;
    the("result").hidden = false;
    await showRow();
    document.body.dataset.computed = mine;
  } catch (error) {
    if (mine === latest) refuse(error);
  }
}

async function showRow() {
  if (!answer) return;
  const mine = latest;
  const last = answer.rows - 1;
  const row = Math.max(0, Math.min(last, Math.trunc(the("row").valueAsNumber || 0)));
  the("row").value = row;
  the("row").max = last;
  the("row-count").textContent = `of 0 … ${last}`;
  the("previous").disabled = row === 0;
  the("next").disabled = row === last;
  const op = the("op").value;
  const [axis, temperature] = [Number(the("axis").value), the("temperature").valueAsNumber];
  try {
    const view = await calculator.row(logits, axis, row, temperature);
    const jacobian = await calculator.jacobian(logits, op, axis, row, temperature);
    if (mine !== latest || row !== the("row").valueAsNumber) return;
    const values = answer.row(row);
    the("row-value").textContent = op === "logsumexp" ? `log-sum-exp of the row: ${shown(values[0])}` : "";
    the("value-title").textContent = op === "log-softmax" ? "log-softmax" : "";
    drawBars(the("bars").tBodies[0], view, op === "log-softmax" ? values : null, classesShown);
    the("more").hidden = view.order.length <= classesShown;
    const side = jacobian.classes.length;
    const of = op === "log-softmax" ? "log-softmax" : "softmax";
    const part = side < answer.classes ? `, of its ${side} most probable classes` : "";
    the("jacobian-note").textContent = `∂yᵢ/∂xⱼ of ${of}, row ${row}${part}; i downwards, j to the right.`;
    the("jacobian").hidden = false;
    map.show(jacobian);
  } catch (error) {
    say(error);
  }
}

function download() {
  const address = URL.createObjectURL(new Blob([answer.npy()], { type: "application/octet-stream" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: `${name}-${the("op").value}.npy` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

let stopped = true;

async function measure() {
  if (!stopped) {
    stopped = true;
    return;
  }
  stopped = false;
  the("measure").textContent = "Stop";
  the("measured").textContent = "Measuring …";
  the("speeds").tBodies[0].replaceChildren();
  the("speed-numbers").hidden = false;
  const points = [];
  try {
    await calculator.measure((classes, softmax, copy) => {
      points.push([classes, softmax, copy]);
      const line = the("speeds").tBodies[0].insertRow();
      const numbers = [classes, softmax.toPrecision(3), copy.toPrecision(3), `${Math.round(100 * softmax / copy)} %`];
      numbers.forEach((number) => { line.insertCell().textContent = number; });
      drawSpeed(the("chart"), points);
      return !stopped;
    });
    the("measured").textContent = stopped ? "Stopped." : "Measured: each length held against the textbook first.";
  } catch (error) {
    the("measured").textContent = `It could not be measured: ${error.message ?? error}`;
  }
  stopped = true;
  the("measure").textContent = "Measure";
}

function listen() {
  const soon = (action) => {
    let waiting;
    return () => { clearTimeout(waiting); waiting = setTimeout(action, 250); };
  };
  the("form").addEventListener("submit", (event) => event.preventDefault());
  the("text").addEventListener("input", soon(takeText));
  the("file").addEventListener("change", () => { if (the("file").files[0]) takeFile(the("file").files[0]); });
  the("forget").addEventListener("click", () => {
    the("file").value = "";
    the("file-name").textContent = "";
    the("forget").hidden = true;
    the("text").disabled = false;
    the("text").focus();
    takeText();
  });
  ["op", "axis"].forEach((id) => the(id).addEventListener("change", () => { the("row").value ||= 0; compute(); }));
  the("temperature").addEventListener("input", soon(compute));
  the("processor").addEventListener("change", async () => {
    try {
      await open(the("processor").value);
      await compute();
    } catch (error) {
      say(error);
    }
  });
  const turn = (by) => () => { the("row").value = the("row").valueAsNumber + by; showRow(); };
  the("row").addEventListener("input", soon(showRow));
  the("previous").addEventListener("click", turn(-1));
  the("next").addEventListener("click", turn(1));
  the("more").addEventListener("click", () => { classesShown *= 4; showRow(); });
  the("download").addEventListener("click", download);
  the("measure").addEventListener("click", measure);
  // A file that misses the frame would replace the page.
  ["dragover", "drop"].forEach((type) => addEventListener(type, (event) => event.preventDefault()));
  addEventListener("dragover", () => the("drop").classList.add("over"));
  ["dragleave", "drop"].forEach((type) => addEventListener(type, () => the("drop").classList.remove("over")));
  addEventListener("drop", (event) => {
    const file = event.dataTransfer?.files[0];
    if (file) takeFile(file);
  });
}

try {
  await init();
  listen();
  await open("auto");
  await takeText();
} catch (error) {
  the("device").textContent = "It could not start.";
  say(error);
}
document.body.dataset.ready = "true";
