/**
 * What a plugin in JavaScript is written against: classes to inherit from, and what the platform gives a running plugin.
 *
 * Everything that reaches the platform throws a `HostError` with one sentence when it was refused or failed. Nothing else
 * is there: no files, sockets, timers that outlive a call, or modules of Node.
 */

import * as platform from "resoftai:plugin/host@1.0.0";

/** The platform refused or could not do what was asked; the message says what, and what to do. */
export class HostError extends Error {
  name = "HostError";
}

function ask(call) {
  try {
    return call();
  } catch (refusal) {
    throw new HostError(typeof refusal?.payload === "string" ? refusal.payload : String(refusal));
  }
}

const text = (bytes) => new TextDecoder().decode(bytes);
const bytes = (content) => (typeof content === "string" ? new TextEncoder().encode(content) : content);

/** The plugin's log on the platform. */
export const log = {
  debug: (message) => platform.log("debug", String(message)),
  info: (message) => platform.log("info", String(message)),
  warning: (message) => platform.log("warning", String(message)),
  error: (message) => platform.log("error", String(message)),
};

/** Small data that outlives the plugin's instance: any JSON value under a key of this plugin alone. */
export const kv = {
  get(key, otherwise = null) {
    const kept = ask(() => platform.kvGet(key));
    return kept === undefined ? otherwise : JSON.parse(kept);
  },
  set: (key, value) => ask(() => platform.kvSet(key, JSON.stringify(value))),
  delete: (key) => ask(() => platform.kvSet(key, undefined)),
  keys: (prefix = "") => ask(() => platform.kvList(prefix)),
};

/** Files of the project that the current call is about, as far as the plugin was granted them. */
export const files = {
  list: (pattern = "**") => ask(() => platform.filesList(pattern)),
  read: (path) => ask(() => platform.filesRead(path)),
  readText: (path) => text(ask(() => platform.filesRead(path))),
  write: (path, content) => ask(() => platform.filesWrite(path, bytes(content))),
  delete: (path) => ask(() => platform.filesDelete(path)),
};

/** The plugin's own files. */
export const ownFiles = {
  list: () => platform.packageList(),
  read: (path) => ask(() => platform.packageRead(path)),
  readText: (path) => text(ask(() => platform.packageRead(path))),
};

/** A request as the platform takes it. */
function asked(url, { method = "GET", headers = {}, body = "", json, timeoutMs = 10_000 }) {
  const given = { ...(json === undefined ? {} : { "content-type": "application/json" }), ...headers };
  const content = json === undefined ? body : JSON.stringify(json);
  return { method, url, headers: Object.entries(given), body: bytes(content), timeoutMs };
}

const head = ({ status, headers }) => ({
  status,
  headers: Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value])),
});

/** What comes of an open reply, until its end or until nobody asks for more. */
function* pieces(open) {
  try {
    for (let piece; (piece = ask(() => platform.httpNext(open))) !== undefined; ) {
      yield piece;
    }
  } finally {
    platform.httpClose(open);
  }
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

/** Split before it is decoded, since a piece may end within a character. */
function* lines(chunks) {
  const line = (parts) => text(joined(parts)).replace(/\r$/, "");
  let rest = [];
  for (const chunk of chunks) {
    let from = 0;
    for (let end; (end = chunk.indexOf(10, from)) !== -1; from = end + 1) {
      const whole = line([...rest, chunk.subarray(from, end)]);
      rest = [];
      yield whole;
    }
    rest.push(chunk.subarray(from));
  }
  if (rest.some((part) => part.length > 0)) {
    yield line(rest);
  }
}

/** Requests to hosts that the manifest's `capabilities.http` names and an administrator granted. */
export const http = {
  /** `{ method, headers, body, json, timeoutMs }`; gives `{ status, headers, body, text(), json() }`. */
  request(url, options = {}) {
    const reply = ask(() => platform.httpRequest(asked(url, options)));
    return {
      ...head(reply),
      body: reply.body,
      text: () => text(reply.body),
      json: () => JSON.parse(text(reply.body)),
    };
  },
  /**
   * The same, there as soon as the head of the reply is: `chunks()` gives the bytes as they come, `lines()` the text line by
   * line, `text()` what is left; `close()` lets go of the rest, as does leaving a loop early. `timeoutMs` bounds each wait.
   */
  stream(url, options = {}) {
    const [open, reply] = ask(() => platform.httpOpen(asked(url, options)));
    const chunks = pieces(open);
    return {
      ...head(reply),
      chunks: () => chunks,
      lines: () => lines(chunks),
      text: () => text(joined([...chunks])),
      close: () => platform.httpClose(open),
    };
  },
  get: (url, options = {}) => http.request(url, options),
  post: (url, options = {}) => http.request(url, { ...options, method: "POST" }),
};

/** The site's own language model. */
export const llm = {
  /** `messages` are `{ role, content }`; options `{ maxTokens, temperature }`; gives `{ content, model, usage }`. */
  chat(messages, { maxTokens, temperature } = {}) {
    const request = { messages, max_tokens: maxTokens, temperature };
    return JSON.parse(ask(() => platform.llmComplete(JSON.stringify(request))));
  },
  complete: (prompt, options) => llm.chat([{ role: "user", content: prompt }], options).content,
};

/** Where `activate` registers what the plugin wants to be told or asked. Lower priority runs first, over all plugins. */
export class Hooks {
  registered = [];

  /** `told(payload)` is told that something happened. */
  action(name, told, priority = 10) {
    this.#register(name, "action", told, priority);
  }

  /** `asked(value)` is given a value and returns the new one. */
  filter(name, asked, priority = 10) {
    this.#register(name, "filter", asked, priority);
  }

  #register(name, kind, call, priority) {
    if (typeof call !== "function" || !Number.isInteger(priority)) {
      throw new TypeError(`hooks.${kind}("${name}", function, priority) takes a function and a whole number.`);
    }
    this.registered.push({ name, kind, call, priority });
  }
}

/** What every plugin is: `export default class Mine extends CodeQualityPlugin { .. }`. Methods may be async. */
export class Plugin {
  static kind = "plugin";
  hooks = new Hooks();

  /** `manifest` is plugin.json, `config` what the administrator set. */
  constructor(manifest, config) {
    this.manifest = manifest;
    this.config = config;
  }

  /** What the plugin calls its tool, agent role, provider, integration, workflow or template. */
  get toolName() {
    return undefined;
  }

  /** JSON Schema of the configuration; the manifest's own unless this is overridden. */
  get configSchema() {
    return this.manifest.config_schema;
  }

  /** Registers hooks. What it throws is why the plugin cannot be loaded. */
  activate() {}

  deactivate() {}
}

/** A role that does a stage's work: `toolName` is the role. Override `systemPrompt`, or `processRequest({ request })` to work itself. */
export class AgentPlugin extends Plugin {
  static kind = "agent";

  /** What the model is told to be, when the agent leaves its work to the model. */
  get systemPrompt() {
    return "";
  }

  /** Stages that this role does wherever a workflow names no other. */
  get responsibleStages() {
    return [];
  }

  /** What the platform asks first. */
  describe() {
    const works = [
      ["handleTaskAssignment", "handle_task_assignment"],
      ["processRequest", "process_request"],
    ].find(([method]) => typeof this[method] === "function");
    return {
      role: this.toolName,
      name: this.manifest.name,
      system_prompt: this.systemPrompt,
      responsible_stages: this.responsibleStages,
      works_by: works?.[1] ?? null,
    };
  }
}

/**
 * A source of models. Override `generate({ model, prompt, system_prompt, messages, max_tokens })`, which returns a text or
 * `{ content, usage, finish_reason }`, and `generateStream` as a generator of text, which may return `{ usage, finish_reason }`.
 */
export class LLMProviderPlugin extends Plugin {
  static kind = "llm_provider";

  /** The models there are: names, or `{ name, context_length }` of each; null: those of the settings. */
  listModels() {
    return null;
  }

  /** What the platform asks first. */
  async describe() {
    const { models, model } = this.config;
    return { name: this.toolName, models: (await this.listModels()) ?? models ?? [model ?? this.toolName] };
  }

  /** How the platform asks. */
  answer({ question }) {
    return this.generate(question);
  }

  /** How it asks when somebody reads along. */
  answerStream({ question }) {
    return typeof this.generateStream === "function" ? this.generateStream(question) : this.generate(question);
  }
}

/** Tells somebody else. Override `sendNotification({ event, data })`, which returns whether it arrived. */
export class IntegrationPlugin extends Plugin {
  static kind = "integration";
}

/** Stages of its own. Override `getWorkflowStages()`: names, or `{ name, role, produces, optional }`. */
export class WorkflowPlugin extends Plugin {
  static kind = "workflow";

  getWorkflowName() {
    return this.toolName ?? this.manifest.name;
  }
}

/** Looks at code. Override `analyzeCode({ code, language, file_path })`, which returns `{ issues: [..] }`. */
export class CodeQualityPlugin extends Plugin {
  static kind = "code_quality";
}

/** Files to begin with. Override `getTemplateFiles()`, which returns texts by path. */
export class TemplatePlugin extends Plugin {
  static kind = "template";

  /** The variables of the texts; null: those in the package's template.json, if there is one. */
  getTemplateVariables() {
    return null;
  }
}
