import { assert, LoadedPlugin, test } from "resoftai/testing";

import ScriptModelsPlugin from "../main.js";
import manifest from "../plugin.json";

const load = (http) => LoadedPlugin.of(ScriptModelsPlugin, manifest, { http });
const question = { model: "small", prompt: "Name a colour.", messages: [{ role: "user", content: "Name a colour." }], max_tokens: 20 };
const frame = (chunk) => `data: ${JSON.stringify(chunk)}\n\n`;

test("pieces are passed on as they come, however they are cut, and the end says what was used", async () => {
  const usage = { prompt_tokens: 3, completion_tokens: 2 };
  const whole = [
    frame({ choices: [{ delta: { content: "Grün, " } }] }),
    frame({ choices: [{ delta: { content: "rot." }, finish_reason: "stop" }] }),
    frame({ choices: [], usage }),
    "data: [DONE]\n\n",
  ].join("");
  let asked;
  const plugin = await load(({ body }) => {
    asked = JSON.parse(new TextDecoder().decode(body));
    return { pieces: [...whole] };
  });
  const answer = await plugin.stream("answer", { question });
  assert.deepEqual(plugin.emitted, ["Grün, ", "rot."]);
  assert.deepEqual(answer, { content: "Grün, rot.", usage, finish_reason: "stop" });
  assert.equal(asked.stream, true);
  assert.notProperty(asked, "prompt");
});

test("a whole answer is passed on, and the server's list of models", async () => {
  const plugin = await load(({ url }) =>
    url.endsWith("/models")
      ? { json: { data: [{ id: "small" }, { id: "large" }] } }
      : { json: { choices: [{ message: { content: "Red." }, finish_reason: "stop" }] } },
  );
  assert.deepEqual((await plugin.call("describe")).models, ["small", "large"]);
  assert.equal((await plugin.call("answer", { question })).content, "Red.");
});

test("what the server says when it fails is told", async () => {
  const plugin = await load(() => ({ status: 500, json: { error: { message: "out of memory" } } }));
  for (const asked of ["call", "stream"]) {
    const error = await plugin[asked]("answer", { question }).then(() => assert.fail("It gave an answer."), (error) => error);
    assert.include(error.message, "answered 500: out of memory");
  }
});
