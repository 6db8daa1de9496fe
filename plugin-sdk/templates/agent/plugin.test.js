import { assert, LoadedPlugin, test } from "resoftai/testing";

import {{class}}Plugin from "../main.js";
import manifest from "../plugin.json";

test("the agent says who it is and what it does", async () => {
  const plugin = await LoadedPlugin.of({{class}}Plugin, manifest);
  const card = await plugin.call("describe");
  assert.deepEqual([card.role, card.responsible_stages], ["{{role}}", ["documentation_review"]]);
  assert.include(card.system_prompt, "documentation");
});
