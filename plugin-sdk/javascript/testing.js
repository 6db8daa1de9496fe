/**
 * Tests of a plugin, which `resoftai plugin test` runs in the sandbox, each as a call of its own:
 *
 *     import { assert, LoadedPlugin, test } from "resoftai/testing";
 *     import manifest from "../plugin.json";
 *     import Mine from "../main.js";
 *
 *     test("a file is looked at", async () => {
 *       const plugin = await LoadedPlugin.of(Mine, manifest, { config: { longest: 10 } });
 *       assert.deepEqual(await plugin.call("analyzeCode", { code: "x" }), { issues: [] });
 *     });
 */

import { assert } from "chai";

import { serve } from "./guest.js";
import { become } from "./stand-in.js";

export { assert };

const tests = new Map();

/** Names what is true, and shows it: `shows` may be async, and throws when it is not. */
export function test(name, shows) {
  if (tests.has(name)) {
    throw new RangeError(`Two tests have the name "${name}".`);
  }
  tests.set(name, shows);
}

/** One activated plugin. */
export class LoadedPlugin {
  #guest;

  /**
   * Loads a class as the platform does. `config` are its settings; `http(request)` stands in for the network, gets
   * `{ method, url, headers, body }` and gives `{ status, json }`, `{ status, text }` or, as texts one by one, `{ status,
   * pieces }`; `llm(request)` stands in for the model and gives `{ content }`; `files` are the project's, texts by path. What is left out refuses, as on a site that
   * granted nothing.
   */
  static async of(Class, manifest, { config = {}, http, llm, files } = {}) {
    const plugin = new LoadedPlugin();
    /** What it logged, as `level: message`; what it keeps, as JSON by key; the project's files, as texts by path. */
    Object.assign(plugin, { lines: [], kept: new Map(), files: files && new Map(Object.entries(files)), http, llm });
    plugin.#guest = serve(Class);
    const loaded = await plugin.#ask("load", JSON.stringify(manifest), JSON.stringify(config));
    return Object.assign(plugin, { hooks: loaded.hooks, toolName: loaded.toolName });
  }

  /** What the plugin's filters on `name` make of `value`. */
  async filter(name, value) {
    for (const index of this.#registered(name, "filter")) {
      const answer = JSON.parse(await this.#ask("callHook", index, JSON.stringify(value)));
      value = typeof answer === "object" && !Array.isArray(answer) ? { ...value, ...answer } : answer;
    }
    return value;
  }

  /** Tells the plugin's actions on `name`. */
  async action(name, payload) {
    for (const index of this.#registered(name, "action")) {
      await this.#ask("callHook", index, JSON.stringify(payload));
    }
  }

  /** Calls a method as the platform does. */
  async call(method, argument = {}) {
    return JSON.parse(await this.#ask("callMethod", method, JSON.stringify(argument), false));
  }

  /** The same while somebody reads along; what was passed on is in `emitted`. */
  async stream(method, argument = {}) {
    this.emitted = [];
    return JSON.parse(await this.#ask("callMethod", method, JSON.stringify(argument), true));
  }

  #registered(name, kind) {
    const mine = this.hooks.map((hook, index) => ({ ...hook, index }));
    const called = mine.filter((hook) => hook.name === name && hook.kind === kind);
    return called.sort((one, other) => one.priority - other.priority).map((hook) => hook.index);
  }

  async #ask(what, ...given) {
    const before = become(this);
    try {
      return await this.#guest[what](...given);
    } catch (raised) {
      const { message, traceback } = raised.payload ?? { message: String(raised) };
      throw Object.assign(new Error(message), { stack: traceback });
    } finally {
      become(before);
    }
  }
}

/** Takes the place of the plugin in the component of its tests. */
export class TestRun {
  static kind = "plugin";
  hooks = { registered: [] };

  constructor(manifest) {
    this.manifest = manifest;
  }

  activate() {}

  deactivate() {}

  collect() {
    return { tests: [...tests.keys()], broken: [] };
  }

  async run({ test: name }) {
    try {
      await tests.get(name)();
      return { outcome: "passed", detail: "", output: "" };
    } catch (error) {
      const where = error?.stack ? `\n${error.stack}` : "";
      return { outcome: "failed", detail: `${error?.message ?? error}${where}`, output: "" };
    }
  }
}
