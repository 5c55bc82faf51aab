// The native tests' questions, put to the CPU path in WebAssembly and, a good sample of them, to the browser's
// adapter, and judged by the native tests' judge; which has to find out answers that are made wrong.

import assert from "node:assert/strict";
import { PATIENCE } from "./chromium.mjs";

export async function agreement(browser) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("console", (message) => console.log(`  console: ${message.text()}`));
  page.on("pageerror", (error) => console.log(`  page error: ${error}`));
  await page.goto(`${process.env.ADDRESS}/agreement/`);
  for (const [device, damage, every] of [["cpu", false, 1], ["cpu", true, 1], ["gpu", false, 6]]) {
    const began = Date.now();
    const found = await page.evaluate(async ([device, damage, every]) => {
      const { default: init, Calculator } = await import("/agreement/wgpu_softmax_web.js");
      await init();
      const calculator = await Calculator.open(device);
      const { questions, values, worst, faults } = await calculator.agree(damage, every);
      return { questions, values, worst, faults, onGpu: calculator.onGpu };
    }, [device, damage, every]);
    const where = found.onGpu ? "GPU by WebGPU" : "CPU in WebAssembly";
    assert.equal(found.onGpu, device === "gpu", "the browser's adapter was to be had");
    assert.ok(found.questions > 200 / every, `${found.questions} questions only`);
    if (damage) {
      // Some weighted sums cancel to nothing, and then any value is within its bound.
      assert.ok(found.faults.length > 0.99 * found.questions, `${found.faults.length} wrong answers found out`);
    } else {
      assert.deepEqual(found.faults.slice(0, 5), [], `${found.faults.length} of ${found.questions} on ${where}`);
    }
    const what = damage ? `answers made wrong, ${found.faults.length} found out` : `answers right, at worst ${found.worst.toFixed(1)} u`;
    console.log(`${where}: ${found.questions} ${what} (${found.values} values, ${Date.now() - began} ms)`);
  }
  await page.close();
}
