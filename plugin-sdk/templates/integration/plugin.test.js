import { assert, LoadedPlugin, test } from "resoftai/testing";

import {{class}}Plugin from "../main.js";
import manifest from "../plugin.json";

const project = { name: "Shop" };

test("an event is sent to the webhook", async () => {
  const sent = [];
  const http = (request) => sent.push(request) && { json: { ok: true } };
  const plugin = await LoadedPlugin.of({{class}}Plugin, manifest, { http });
  assert.isTrue(await plugin.call("sendNotification", { event: "project.create.after", data: project }));
  const body = JSON.parse(new TextDecoder().decode(sent[0].body));
  assert.deepEqual(body, { event: "project.create.after", data: project });
});

test("a webhook that refuses is told", async () => {
  const plugin = await LoadedPlugin.of({{class}}Plugin, manifest, { http: () => ({ status: 500 }) });
  assert.isFalse(await plugin.call("sendNotification", { event: "project.create.after", data: project }));
  assert.deepEqual(plugin.lines, ["warning: The webhook answered 500."]);
});
