import { assert, LoadedPlugin, test } from "resoftai/testing";

import {{class}}Plugin from "../main.js";
import manifest from "../plugin.json";

test("there is a name, and development comes before testing", async () => {
  const plugin = await LoadedPlugin.of({{class}}Plugin, manifest);
  assert.equal(await plugin.call("getWorkflowName"), "{{name}}");
  const stages = await plugin.call("getWorkflowStages");
  assert.isBelow(stages.indexOf("development"), stages.indexOf("testing"));
});
