// Chromium's compiler of WGSL, asked about many files by one process: it is in Dawn, whose device for no hardware needs
// no driver.
//
//     node judge_wgsl.mjs DAWN LIST VERDICTS
//
// DAWN is the package's module. Each line of LIST is a file. VERDICTS gets what compile_hlsl.c prints: standard output is
// where Dawn itself tells of warnings.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [dawn, list, verdicts] = process.argv.slice(2);
const { create } = await import(pathToFileURL(dawn));

const gpu = create(["backend=null"]);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ["subgroups"] });

/** All that there is to say of a text: nothing where it is accepted, and warnings where it is not. */
async function wordsOn(code) {
  device.pushErrorScope("validation");
  const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
  const error = await device.popErrorScope();
  const words = messages.map(({ lineNum, linePos, type, message }) => `${lineNum}:${linePos} ${type}: ${message}`);
  return error && words.length === 0 ? [error.message] : words;
}

const told = [];
for (const file of readFileSync(list, "utf8").split("\n").filter((line) => line !== "")) {
  const words = await wordsOn(readFileSync(file, "utf8"));
  told.push(...(words.length === 0 ? [`accepted ${file}`] : [`refused ${file}`, ...words, "."]));
}
writeFileSync(verdicts, told.map((line) => `${line}\n`).join(""));
// Dawn would keep the process alive.
process.exit(0);
