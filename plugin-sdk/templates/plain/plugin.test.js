import { assert, LoadedPlugin, test } from "resoftai/testing";

import {{class}}Plugin from "../main.js";
import manifest from "../plugin.json";

test("files are counted", async () => {
  const plugin = await LoadedPlugin.of({{class}}Plugin, manifest);
  await plugin.action("file.create.after", { path: "a.js" });
  await plugin.action("file.create.after", { path: "b.js" });
  assert.equal(plugin.kept.get("files"), "2");
  assert.include(plugin.lines[1], "b.js");
});
