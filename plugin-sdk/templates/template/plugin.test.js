import { assert, LoadedPlugin, test } from "resoftai/testing";

import {{class}}Plugin from "../main.js";
import manifest from "../plugin.json";

test("there are files, each with a text", async () => {
  const plugin = await LoadedPlugin.of({{class}}Plugin, manifest);
  const files = await plugin.call("getTemplateFiles");
  assert.containsAllKeys(files, ["README.md", "app/main.py"]);
  assert.isTrue(Object.values(files).every((text) => text.length > 0));
});
