#!/usr/bin/env node
/**
 * Builds a plugin in JavaScript: `node build.mjs FOLDER` makes FOLDER/plugin.wasm of FOLDER/main.js and what it imports, and
 * FOLDER/.sdk/tests.wasm of FOLDER/tests/*.test.js.
 *
 * Each holds a JavaScript engine and is about 12 MB; the server compiles a plugin once more when it is installed.
 */

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { componentize } from "@bytecodealliance/componentize-js";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const at = (name) => join(here, name);
/** The contract lies here, or beside this folder. */
const contract = existsSync(at("plugin.wit")) ? at("plugin.wit") : at("../wit/plugin.wit");

/** Where the names of the SDK lead to; in tests, the platform is stood in for. */
function names(testing) {
  const leads = { resoftai: at("resoftai.js"), "resoftai/testing": at("testing.js"), chai: at("node_modules/chai/index.js") };
  return {
    name: "sdk",
    setup(build) {
      build.onResolve({ filter: /^(resoftai(\/testing)?|chai)$/ }, ({ path }) => ({ path: leads[path] }));
      build.onResolve({ filter: /^resoftai:/ }, ({ path, importer }) =>
        testing && importer !== at("stand-in.js") ? { path: at("stand-in.js") } : { path, external: true },
      );
    },
  };
}

/** One component of a module that exports what the contract asks for. */
async function component(contents, folder, testing) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: folder },
    plugins: [names(testing)],
    bundle: true,
    format: "esm",
    keepNames: true,
    target: "es2022",
    write: false,
  });
  const made = await componentize(outputFiles[0].text, {
    witPath: contract,
    worldName: "plugin",
    disableFeatures: ["http", "fetch-event"],
  });
  return made.component;
}

function exported(imports, Class) {
  const serve = `import { serve } from ${JSON.stringify(at("guest.js"))};`;
  return `${imports}\n${serve}\nexport const { load, callHook, callMethod, unload } = serve(${Class});`;
}

async function put(path, content) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
  console.log(`${path}: ${content.length} bytes`);
}

const [given, ...rest] = process.argv.slice(2);
if (given === undefined || rest.length > 0) {
  console.error("usage: node build.mjs FOLDER");
  process.exit(2);
}
const folder = resolve(given);
const manifest = JSON.parse(await readFile(join(folder, "plugin.json"), "utf8"));
if (manifest.entry_point !== "plugin.wasm") {
  console.error(`${given}/plugin.json names ${manifest.entry_point} as entry_point; a plugin in JavaScript has plugin.wasm.`);
  process.exit(1);
}
await put(join(folder, "plugin.wasm"), await component(exported('import Plugin from "./main.js";', "Plugin"), folder, false));

const entries = await readdir(join(folder, "tests")).catch(() => []);
const tests = entries.filter((name) => name.endsWith(".test.js")).sort();
if (tests.length > 0) {
  const imports = tests.map((name) => `import ${JSON.stringify(`./tests/${name}`)};`);
  const all = [...imports, 'import { TestRun } from "resoftai/testing";'].join("\n");
  await put(join(folder, ".sdk/tests.wasm"), await component(exported(all, "TestRun"), folder, true));
}
