/** {{name}}: a source of language models. */

import { http, LLMProviderPlugin } from "resoftai";

/** Speaks to a server with Ollama's API. */
export default class {{class}}Plugin extends LLMProviderPlugin {
  get toolName() {
    return "{{role}}";
  }

  generate({ model, prompt, system_prompt }) {
    const { base_url } = this.config;
    const body = { model, prompt, stream: false, ...(system_prompt ? { system: system_prompt } : {}) };
    const reply = http.post(`${base_url}/api/generate`, { json: body, timeoutMs: 60_000 });
    if (reply.status !== 200) {
      throw new Error(`The model server answered ${reply.status}: ${reply.text().slice(0, 200)}`);
    }
    const { response, prompt_eval_count: read = 0, eval_count: written = 0 } = reply.json();
    const usage = { prompt_tokens: read, completion_tokens: written, total_tokens: read + written };
    return { content: response, model, usage, finish_reason: "stop" };
  }

  *generateStream(asked) {
    yield* this.generate(asked).content.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  }
}
