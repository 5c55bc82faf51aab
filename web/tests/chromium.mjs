// Chromium as it is started for the tests: without a window, with the software adapter that it brings along.

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** Milliseconds that anything may take: a software adapter on a busy machine is in no hurry. */
export const PATIENCE = 180_000;

/** A browser; without `webgpu` it finds no adapter on a machine without a GPU. */
export async function start({ webgpu }) {
  const executablePath = PLACES.find((place) => place && existsSync(place));
  if (!executablePath) throw new Error("no Chromium: install it, or name it by the environment variable CHROMIUM");
  const args = ["--no-sandbox", "--disable-quic", "--no-first-run"];
  const adapter = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
  return chromium.launch({ executablePath, headless: true, timeout: PATIENCE, args: webgpu ? [...args, ...adapter] : args });
}
