/**
 * The component's exports for one plugin class: what the platform calls, in the contract's words. `build.mjs` puts it
 * around the plugin; an author never imports it.
 */

import { emit } from "resoftai:plugin/host@1.0.0";

/** Methods of the life of a plugin are no methods to be called. */
const LIFE = new Set(["constructor", "activate", "deactivate"]);

export function serve(Class) {
  let plugin;
  return {
    load: (manifest, config) =>
      guarded(async () => {
        const fields = JSON.parse(manifest);
        plugin = new Class(fields, { ...defaults(fields.config_schema), ...JSON.parse(config) });
        await plugin.activate();
        return {
          api: Class.kind,
          toolName: plugin.toolName,
          configSchema: plugin.configSchema && JSON.stringify(plugin.configSchema),
          hooks: plugin.hooks.registered.map(({ name, kind, priority }) => ({ name, kind, priority })),
        };
      }),
    callHook: (index, payload) =>
      guarded(async () => {
        const hook = plugin.hooks.registered[index];
        const given = JSON.parse(payload);
        const before = { ...given };
        const answer = await hook.call.call(plugin, given);
        return hook.kind === "action" ? "null" : json(changed(answer, before), `The filter on ${hook.name}`);
      }),
    callMethod: (name, args, streamed) =>
      guarded(async () => {
        const given = JSON.parse(args);
        const called = streamed && typeof plugin[`${name}Stream`] === "function" ? `${name}Stream` : name;
        const answer = await method(plugin, called).apply(plugin, Array.isArray(given) ? given : [given]);
        return json(yields(answer) ? await gather(answer, name, streamed) : answer, `${name}()`);
      }),
    unload: () => guarded(() => plugin.deactivate()),
  };
}

/** What the plugin throws becomes data: a message, and where it happened. */
async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw { payload: { message: message.slice(0, 2000), traceback: String(error?.stack ?? "").slice(0, 16384) } };
  }
}

/** Whole files come along with most questions; those that come back as they were need not travel. */
function changed(answer, before) {
  if (typeof answer !== "object" || answer === null || Array.isArray(answer)) {
    return answer;
  }
  return Object.fromEntries(Object.entries(answer).filter(([key, is]) => typeof is !== "string" || is !== before[key]));
}

/** The contract's names are in snake_case, JavaScript's in camelCase: both are found. */
function method(plugin, name) {
  const camel = name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
  const found = [name, camel].find((name) => typeof plugin[name] === "function" && !LIFE.has(name));
  if (found === undefined || found.startsWith("_") || found in Object.prototype) {
    throw new TypeError(`The plugin ${plugin.manifest.slug} has no method ${name}.`);
  }
  return plugin[found];
}

const yields = (answer) => answer?.[Symbol.toStringTag] === "Generator" || answer?.[Symbol.toStringTag] === "AsyncGenerator";

/** The whole text; with what the generator returned beside it, when that is an object. */
async function gather(pieces, name, streamed) {
  let whole = "";
  try {
    for (;;) {
      const { done, value } = await pieces.next();
      if (done) {
        return typeof value === "object" && value !== null ? { content: whole, ...value } : whole;
      }
      if (typeof value !== "string") {
        throw new TypeError(`${name}() yielded ${typeof value}: it must yield text.`);
      }
      if (streamed) {
        emit(value);
      }
      whole += value;
    }
  } finally {
    // Its own `finally` runs when nobody reads on.
    await pieces.return();
  }
}

function json(value, who) {
  const text = JSON.stringify(value);
  if (text === undefined) {
    throw new TypeError(`${who} returned ${typeof value}, which JSON cannot express.`);
  }
  return text;
}

function defaults(schema) {
  const properties = Object.entries(schema?.properties ?? {});
  return Object.fromEntries(properties.filter(([, of]) => "default" in of).map(([name, of]) => [name, of.default]));
}
