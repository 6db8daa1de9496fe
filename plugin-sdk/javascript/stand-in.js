/** The platform in tests: what the plugin under test was given, else a refusal. `build.mjs` puts it in the platform's place. */

import * as platform from "resoftai:plugin/host@1.0.0";

/** The LoadedPlugin whose call goes on. */
let now;

/** Answers for `plugin` from here on; gives the one before. */
export function become(plugin) {
  const before = now;
  now = plugin;
  return before;
}

function refuse(why) {
  throw { payload: `Denied: ${why}` };
}

function project() {
  return now.files ?? refuse("this test gives no project's files.");
}

export function log(level, message) {
  now?.lines.push(`${level}: ${message}`);
  platform.log(level, message);
}

export const kvGet = (key) => now.kept.get(key);

export function kvSet(key, value) {
  if (value === undefined) {
    now.kept.delete(key);
  } else {
    now.kept.set(key, value);
  }
}

export const kvList = (prefix) => [...now.kept.keys()].filter((key) => key.startsWith(prefix)).sort();

/** Folders and `*` of a pattern as the platform reads them. */
function pattern(glob) {
  const parts = glob.split(/(\*\*\/|\*\*|\*|\?)/);
  const means = { "**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]" };
  return new RegExp(`^${parts.map((part) => means[part] ?? part.replace(/[.+^${}()|[\]\\]/g, "\\$&")).join("")}$`, "u");
}

export const filesList = (glob) => [...project().keys()].filter((path) => pattern(glob).test(path)).sort();

export function filesRead(path) {
  const text = project().get(path) ?? refuse(`this test has no file ${path}.`);
  return new TextEncoder().encode(text);
}

export const filesWrite = (path, content) => void project().set(path, new TextDecoder().decode(content));

export const filesDelete = (path) => void project().delete(path);

function answered({ method, url, headers, body }) {
  const answer = now.http ?? refuse(`this test has no network, and ${method} ${url} was asked.`);
  const { status = 200, headers: given = {}, json, text = JSON.stringify(json) ?? "", pieces = [text] } = answer({ method, url, headers, body });
  return { status, headers: Object.entries(given), pieces: pieces.map((piece) => new TextEncoder().encode(piece)) };
}

export function httpRequest(request) {
  const { pieces, ...head } = answered(request);
  return { ...head, body: new Uint8Array(pieces.flatMap((piece) => [...piece])) };
}

/** Replies that are read piece by piece, by number. */
const open = new Map();
let numbers = 0;

export function httpOpen(request) {
  const { pieces, ...head } = answered(request);
  numbers += 1;
  open.set(numbers, pieces);
  return [numbers, { ...head, body: new Uint8Array() }];
}

export const httpNext = (reply) => open.get(reply)?.shift();

export const httpClose = (reply) => void open.delete(reply);

export function llmComplete(request) {
  const answer = now.llm ?? refuse("this test has no model.");
  return JSON.stringify({ model: "test", usage: {}, ...answer(JSON.parse(request)) });
}

export const emit = (piece) => void now.emitted.push(piece);
export const packageList = () => platform.packageList();
export const packageRead = (path) => platform.packageRead(path);
