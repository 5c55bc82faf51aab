// The native tests' questions, put to the CPU path in WebAssembly and, a good sample of them, to the browser's
// adapter, without subgroups and with those it has, and judged by the native tests' judge; which has to find out answers that
// are made wrong. What software adapters go without is asked of the adapter as if it were hardware.

import assert from "node:assert/strict";
import { PATIENCE } from "./chromium.mjs";

export async function agreement(browser) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("console", (message) => console.log(`  console: ${message.text()}`));
  page.on("pageerror", (error) => console.log(`  page error: ${error}`));
  await page.goto(`${process.env.ADDRESS}/agreement/`);
  const runs = [
    { device: "cpu" },
    { device: "cpu", damage: true },
    { device: "gpu", every: 6 },
    { device: "gpu", asHardware: true },
  ];
  const offered = await page.evaluate(async () => (await navigator.gpu.requestAdapter()).features.has("subgroups"));
  if (offered) {
    runs.push({ device: "gpu", every: 5, subgroups: true }, { device: "gpu", asHardware: true, subgroups: true });
  } else {
    console.log("this browser's adapter has no subgroups: they are not tested here");
  }
  for (const { device, damage = false, every = 1, asHardware = false, subgroups = false } of runs) {
    const began = Date.now();
    const found = await page.evaluate(async ([device, damage, every, asHardware, subgroups]) => {
      const { default: init, Calculator } = await import("/agreement/wgpu_softmax_web.js");
      const { openWithSubgroups } = await import("/subgroups.js");
      await init();
      const calculator = await (subgroups ? openWithSubgroups(Calculator, device) : Calculator.open(device));
      const { questions, values, worst, faults } = asHardware
        ? await calculator.agreeAsHardware()
        : await calculator.agree(damage, every);
      const { onGpu, subgroupLanes } = calculator;
      return { questions, values, worst, faults, onGpu, subgroupLanes };
    }, [device, damage, every, asHardware, subgroups]);
    const lanes = subgroups ? `, subgroups of ${found.subgroupLanes}` : "";
    const gpu = `GPU by WebGPU${lanes}${asHardware ? ", planned for as hardware" : ""}`;
    const where = found.onGpu ? gpu : "CPU in WebAssembly";
    assert.equal(found.subgroupLanes > 0, subgroups, "subgroups are made use of where they were asked for");
    assert.equal(found.onGpu, device === "gpu", "the browser's adapter was to be had");
    assert.ok(found.questions > (asHardware ? 60 : 200 / every), `${found.questions} questions only`);
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
