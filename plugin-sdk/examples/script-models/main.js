/** Script models: a server that speaks OpenAI's API, asked by a plugin in JavaScript. */

import { http, LLMProviderPlugin } from "resoftai";

/** For a whole answer, or for each piece of a streamed one. */
const PATIENCE_MS = 120_000;

export default class ScriptModelsPlugin extends LLMProviderPlugin {
  get toolName() {
    return "openai";
  }

  listModels() {
    if (this.config.models) {
      return null;
    }
    const reply = http.get(`${this.config.base_url}/models`, { headers: this.#headers() });
    return checked(reply).json().data.map(({ id }) => id);
  }

  generate(question) {
    const { choices, usage } = checked(http.post(this.#address(), this.#asked(question))).json();
    const [{ message, finish_reason }] = choices;
    return { content: message.content ?? "", usage, finish_reason };
  }

  *generateStream(question) {
    const more = { stream: true, stream_options: { include_usage: true } };
    const reply = checked(http.stream(this.#address(), { ...this.#asked({ ...question, ...more }), method: "POST" }));
    const end = {};
    for (const line of reply.lines()) {
      if (!line.startsWith("data:")) {
        continue;
      }
      const data = line.slice("data:".length).trim();
      if (data === "[DONE]") {
        break;
      }
      const { choices = [], usage, error } = JSON.parse(data);
      if (error) {
        throw new Error(`The model server broke off: ${error.message ?? error}`);
      }
      end.usage = usage ?? end.usage;
      for (const { delta, finish_reason } of choices) {
        end.finish_reason = finish_reason ?? end.finish_reason;
        if (delta?.content) {
          yield delta.content;
        }
      }
    }
    return end;
  }

  #address() {
    return `${this.config.base_url}/chat/completions`;
  }

  #headers() {
    return this.config.api_key ? { authorization: `Bearer ${this.config.api_key}` } : {};
  }

  /** `prompt` and `system_prompt` say again what is in the messages. */
  #asked({ prompt, system_prompt, ...json }) {
    return { json, headers: this.#headers(), timeoutMs: PATIENCE_MS };
  }
}

function checked(reply) {
  if (reply.status !== 200) {
    throw new Error(`The model server answered ${reply.status}: ${words(reply.text())}`);
  }
  return reply;
}

function words(body) {
  try {
    const { error } = JSON.parse(body);
    return String(error.message ?? error);
  } catch {
    return body.slice(0, 200) || "no reason given";
  }
}
