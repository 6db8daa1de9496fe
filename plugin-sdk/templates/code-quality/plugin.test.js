import { assert, LoadedPlugin, test } from "resoftai/testing";

import {{class}}Plugin from "../main.js";
import manifest from "../plugin.json";

async function analyze(code, config) {
  const plugin = await LoadedPlugin.of({{class}}Plugin, manifest, { config });
  return plugin.call("analyzeCode", { code, language: "javascript" });
}

test("clean code has the full score", async () => {
  assert.deepEqual(await analyze("x = 1\n"), { issues: [], score: 100 });
});

test("a finding says where", async () => {
  const { issues } = await analyze("x = 1\nlong_name = 2\n", { max_length: 10 });
  assert.deepEqual(issues.map(({ type, line }) => [type, line]), [["line_length", 2]]);
});

test("what it mends it no longer finds", async () => {
  const plugin = await LoadedPlugin.of({{class}}Plugin, manifest);
  const fixed = await plugin.call("fixCode", { code: "x = 1  \n" });
  assert.deepEqual((await analyze(fixed)).issues, []);
});
