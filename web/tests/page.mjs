// Files in, numbers out: what the page saves is held against what the program computes of the same file on the CPU.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PATIENCE } from "./chromium.mjs";
import { npy, parsed } from "./npy.mjs";

const folder = mkdtempSync(join(tmpdir(), "softmax-page-"));
const EPSILON = 2 ** -24;

/** The page, ready; with what goes wrong in it told. */
export async function opened(browser, { change, ...options } = {}) {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  context.setDefaultTimeout(PATIENCE);
  if (change) await context.addInitScript(change);
  const page = await context.newPage();
  const troubles = [];
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("request", (request) => {
    const address = request.url();
    if (!address.startsWith(process.env.ADDRESS) && !address.startsWith("blob:")) troubles.push(`asks ${address}`);
  });
  await page.goto(process.env.ADDRESS);
  await page.waitForSelector("body[data-ready]");
  return { context, page, troubles };
}

/** The page, which computes on the browser's adapter, though that is a software one. */
async function onGpu(browser, options) {
  const { page, ...rest } = await opened(browser, options);
  await settled(page, () => page.selectOption("#processor", "gpu"));
  await page.waitForFunction(() => /Runs on the GPU by WebGPU: .*\w/.test(document.getElementById("device").textContent));
  const offered = await page.evaluate(async () => (await navigator.gpu.requestAdapter()).features.has("subgroups"));
  assert.equal(/with subgroups of \d+ lanes/.test(await page.locator("#device").textContent()), offered, "subgroups");
  return { page, ...rest };
}

/** What the program makes of a file. */
function native(file, op, axis, temperature) {
  const output = join(folder, "native.npy");
  execFileSync(process.env.PROGRAM, ["run", file, "-o", output, "--op", op, "--axis", String(axis),
    "--temperature", String(temperature), "--dtype", "f32", "--device", "cpu"]);
  return parsed(readFileSync(output));
}

async function settled(page, action) {
  const before = await page.evaluate(() => document.body.dataset.computed);
  await action();
  await page.waitForFunction((before) => document.body.dataset.computed !== before, before);
}

async function saved(page) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  return { name: download.suggestedFilename(), ...parsed(readFileSync(await download.path())) };
}

/** Both are within the bounds that are promised of the truth, so within twice as much of each other. */
export function close(op, got, right) {
  assert.deepEqual(got.shape, right.shape);
  assert.equal(got.values.length, right.values.length);
  got.values.forEach((value, place) => {
    const expected = right.values[place];
    if (Number.isNaN(expected)) return assert.ok(Number.isNaN(value), `${value} for NaN at ${place}`);
    if (!Number.isFinite(expected)) return assert.equal(value, expected);
    const bound = op === "softmax" ? 32 * EPSILON * expected + 2 ** -125 : 16 * EPSILON * Math.max(1, Math.abs(expected) * 2);
    assert.ok(Math.abs(value - expected) <= bound, `${op}: ${value} for ${expected} at ${place}`);
  });
}

export async function page(browser) {
  assert.throws(() => close("softmax", { shape: [1], values: [0.5] }, { shape: [1], values: [0.50001] }), /for/);
  await files(browser);
  await byKeyboard(browser);
  await badFiles(browser);
  await pictures(browser);
}

async function files(browser) {
  const { context, page, troubles } = await onGpu(browser);
  const logit = (row, column) => 7 * Math.sin(row * 12.9898 + column * 78.233);
  const written = (name, bytes) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  };
  const cases = [
    [join(process.env.DATA, "digits_logits.npy"), "softmax", 1, 1],
    [written("single.npy", npy([37, 130], logit)), "log-softmax", 1, 0.7],
    [written("columns.npy", npy([130, 37], logit)), "softmax", 0, 2.5],
    [written("double.npy", npy([9, 1000], logit, { type: "f8", order: ">", fortran: true })), "logsumexp", 1, 1],
    [written("whole.npy", npy([9, 11], logit, { type: "i8", order: ">" })), "softmax", 1, 1],
    [written("fortran.npy", npy([9, 11], logit, { type: "i4", fortran: true })), "logsumexp", 0, 3],
    [written("special.npy", npy([4, 3], (row, column) =>
      [[-Infinity, 0, 1], [-Infinity, -Infinity, -Infinity], [NaN, 0, 1], [Infinity, 0, 1]][row][column])), "softmax", 1, 1],
  ];
  for (const [file, op, axis, temperature] of cases) {
    await settled(page, () => page.setInputFiles("#file", file));
    if (await page.locator("#op").inputValue() !== op) await settled(page, () => page.selectOption("#op", op));
    if (await page.locator("#axis").inputValue() !== String(axis)) {
      await settled(page, () => page.selectOption("#axis", String(axis)));
    }
    if (await page.locator("#temperature").inputValue() !== String(temperature)) {
      await settled(page, () => page.fill("#temperature", String(temperature)));
    }
    const got = await saved(page);
    assert.match(got.name, new RegExp(`-${op}\\.npy$`));
    close(op, got, native(file, op, axis, temperature));
    assert.equal(await page.locator("#error").textContent(), "");
  }

  // A row of the file by its bars, the largest first, and a cell of its Jacobian.
  const row = [1, 4, 2, 3];
  const path = written("row.npy", npy([2, 4], (line, column) => line === 1 ? row[column] : 0));
  await settled(page, () => page.setInputFiles("#file", path));
  await settled(page, () => page.selectOption("#op", "softmax"));
  await page.click("#next");
  await page.waitForFunction(() => document.querySelector("#bars tbody td").textContent === "1");
  const classes = await page.locator("#bars tbody tr td:first-child").allTextContents();
  assert.deepEqual(classes, ["1", "3", "2", "0"]);
  const right = native(path, "softmax", 1, 1).values.slice(4);
  const first = Number(await page.locator("#bars tbody tr:first-child .bar span:last-child").textContent());
  assert.ok(Math.abs(first - right[1]) < 1e-6);
  await page.focus("#map");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  const cell = await page.locator("#cell").textContent();
  const [, i, j, value] = cell.match(/∂y(.+) \/ ∂x(.+) = (.+)/);
  assert.deepEqual([i, j], ["₁", "₂"]);
  assert.ok(Math.abs(Number(value.replaceAll("−", "-")) + right[1] * right[2]) < 1e-6, cell);

  // The same on the CPU of the browser.
  await settled(page, () => page.selectOption("#processor", "cpu"));
  assert.match(await page.locator("#device").textContent(), /CPU/);
  close("softmax", await saved(page), native(path, "softmax", 1, 1));
  assert.deepEqual(troubles, []);
  await context.close();
  console.log(`the page: ${cases.length} files agree with the program`);
}

/** From the first field to a result, without a pointer. */
async function byKeyboard(browser) {
  const { context, page, troubles } = await onGpu(browser);
  const reached = [];
  for (let step = 0; step < 20; step += 1) {
    await page.keyboard.press("Tab");
    // Past the last field the focus is the browser's own.
    if (await page.evaluate(() => document.activeElement === document.body)) break;
    reached.push(await page.evaluate(() => document.activeElement.id));
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", `the focus on ${reached.at(-1)} is seen`);
  }
  for (const id of ["file", "text", "op", "axis", "temperature", "download", "row", "map", "measure"]) {
    assert.ok(reached.includes(id), `${id} is reached by keyboard: ${reached}`);
  }
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("input, select, textarea, button")]
    .filter((control) => !control.labels?.length && !control.textContent.trim() && !control.ariaLabel).map((control) => control.id));
  assert.deepEqual(unnamed, []);
  await page.focus("#text");
  await page.keyboard.press("Control+a");
  await settled(page, () => page.keyboard.type("[[6, 3], [0, 0]]"));
  const text = await page.locator("#bars .bar span:last-child").allTextContents();
  assert.deepEqual(text, ["0.952574", "0.0474259"]);
  assert.deepEqual(troubles, []);
  await context.close();
  console.log("the page: works by keyboard");
}

async function badFiles(browser) {
  const { context, page, troubles } = await opened(browser);
  const good = npy([3, 4], (row, column) => row + column);
  const cases = [
    ["picture.npy", Buffer.from("\x89PNG\r\n\x1a\n and more of it", "latin1"), /picture\.npy cannot be read: it is not a \.npy file/i],
    ["cut.npy", good.subarray(0, good.length - 5), /cut off/],
    ["long.npy", Buffer.concat([good, Buffer.from("?")]), /goes on for 1 byte/],
    ["empty.npy", Buffer.alloc(0), /empty/],
    ["text.npy", Buffer.from(good.toString("latin1").replace("<f4", "<U4"), "latin1"), /text/],
    ["none.npy", npy([0, 4], () => 0), /no numbers/],
    ["huge.npy", Buffer.from(good.toString("latin1").replace("(3, 4), ", "(3, 4000000000), ").replace("          ", ""), "latin1"), /cut off|header/],
  ];
  for (const [name, buffer, message] of cases) {
    await page.setInputFiles("#file", { name, mimeType: "application/octet-stream", buffer });
    await page.waitForFunction((name) => document.getElementById("error").textContent.toLowerCase().startsWith(name), name);
    assert.match(await page.locator("#error").textContent(), message);
    assert.ok(!await page.locator("#result").isVisible(), "no result is shown beside an error");
  }
  for (const [text, message] of [["1 2\n3", /row 1 has 2 number\(s\), and row 2 has 1/i], ["1 two", /“two” in row 1 is not a number/], ["", /no numbers/]]) {
    await page.fill("#text", text);
    await page.waitForFunction((source) => new RegExp(source, "i").test(document.getElementById("error").textContent), message.source);
  }
  await page.fill("#text", "1 2 3");
  await page.waitForFunction(() => document.getElementById("error").textContent === "");
  for (const temperature of ["0", "-1", ""]) {
    await page.fill("#temperature", temperature);
    await page.waitForFunction(() => /temperature must be/i.test(document.getElementById("error").textContent));
    await page.fill("#temperature", "1");
    await page.waitForFunction(() => document.getElementById("error").textContent === "");
  }
  assert.deepEqual(troubles, []);
  await context.close();
  console.log(`the page: ${cases.length} bad files are refused in words`);
}

/** In light, in dark and on a phone: nothing is wider than the screen. The pictures stay to be looked at. */
async function pictures(browser) {
  for (const [name, options] of [
    ["light", { viewport: { width: 1200, height: 900 }, colorScheme: "light" }],
    ["dark", { viewport: { width: 1200, height: 900 }, colorScheme: "dark" }],
    ["phone", { viewport: { width: 360, height: 740 }, colorScheme: "light", deviceScaleFactor: 2 }],
  ]) {
    const { context, page, troubles } = await onGpu(browser, options);
    await settled(page, () => page.setInputFiles("#file", join(process.env.DATA, "digits_logits.npy")));
    if (name !== "phone") await settled(page, () => page.selectOption("#op", "log-softmax"));
    await page.click("#measure");
    await page.waitForFunction(() => document.querySelectorAll("#speeds tbody tr").length >= 3, null, { timeout: 60000 });
    await page.click("#measure");
    await page.waitForFunction(() => /Stopped/.test(document.getElementById("measured").textContent), null, { timeout: 60000 });
    const rates = await page.locator("#speeds tbody td:nth-child(2), #speeds tbody td:nth-child(3)").allTextContents();
    assert.ok(rates.every((rate) => Number(rate) > 0), `${rates}`);
    await page.screenshot({ path: `${name}.png`, fullPage: true });
    const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(content <= screen, `${name}: ${content} of ${screen} pixels`);
    assert.deepEqual(troubles, []);
    await context.close();
  }
  console.log("the page: light.png, dark.png and phone.png are in target/web-test");
}
