// The page as a person uses it, and the agreement suite, in headless Chromium.

import { agreement } from "./agreement.mjs";
import { start } from "./chromium.mjs";
import { page } from "./page.mjs";
import { withoutWebGpu } from "./without-webgpu.mjs";

const browser = await start({ webgpu: true });
try {
  await page(browser);
  await agreement(browser);
} finally {
  await browser.close();
}
const plain = await start({ webgpu: false });
try {
  await withoutWebGpu(plain);
} finally {
  await plain.close();
}
console.log("the browser: all is well");
