// Where there is no WebGPU: a note, and the same numbers from the CPU.

import assert from "node:assert/strict";
import { opened } from "./page.mjs";

export async function withoutWebGpu(browser) {
  // One browser has no `navigator.gpu` at all, another has it and no adapter.
  const absent = () => Object.defineProperty(navigator, "gpu", { value: undefined });
  const empty = () => { GPU.prototype.requestAdapter = async () => null; };
  for (const [what, change] of [["as it is", () => {}], ["no navigator.gpu", absent], ["no adapter", empty]]) {
    const { context, page, troubles } = await opened(browser, { change });
    assert.match(await page.locator("#device").textContent(), /Runs on the CPU/, what);
    assert.match(await page.locator("#note").textContent(), /no WebGPU|no GPU|computes on the CPU itself/, what);
    assert.ok(await page.locator("#note").isVisible());
    assert.ok(await page.locator("#measure").isDisabled());
    await page.fill("#text", "6 3");
    await page.waitForFunction(() => document.querySelector("#bars .bar span:last-child")?.textContent === "0.952574");
    assert.deepEqual(troubles, [], what);
    await context.close();
  }
  console.log("the page: falls back to the CPU with a note");
}
