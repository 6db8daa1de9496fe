import { assert, LoadedPlugin, test } from "resoftai/testing";

import {{class}}Plugin from "../main.js";
import manifest from "../plugin.json";

const load = (http) => LoadedPlugin.of({{class}}Plugin, manifest, { http });

test("an answer is passed on with what it cost", async () => {
  const plugin = await load(() => ({ json: { response: "Hello.", prompt_eval_count: 5, eval_count: 2 } }));
  const answer = await plugin.call("answer", { question: { model: "qwen3", prompt: "Say hello." } });
  assert.equal(answer.content, "Hello.");
  assert.equal(answer.usage.total_tokens, 7);
  assert.deepEqual((await plugin.call("describe", {})).models, ["qwen3"]);
});

test("what the server says when it fails is told", async () => {
  const plugin = await load(() => ({ status: 404, text: "no such model" }));
  try {
    await plugin.call("answer", { question: { model: "qwen3", prompt: "Say hello." } });
  } catch (error) {
    return assert.include(error.message, "404: no such model");
  }
  assert.fail("It gave an answer.");
});
