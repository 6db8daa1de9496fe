// The words of an agent for people to read. Most models are held to JSON, whose escapes and keys are for machines;
// what is shown must make sense while it is being written, so nothing here waits for the end of the answer.

const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '', b: '', f: '' };
/** A string, its end perhaps not written yet. */
const STRING = /"([^"\\]*(?:\\[^][^"\\]*)*\\?)("?)/y;
const SCALAR = /[^\s"{}[\],:]+/y;

/** The string as it was meant; an escape that is still being written is left out. */
function unescape(text: string): string {
  return text
    .replace(/\\(u[0-9a-fA-F]{4}|[^u])/g, (_, code: string) =>
      code.length === 5 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (ESCAPES[code] ?? code),
    )
    .replace(/\\(u[0-9a-fA-F]{0,3})?$/, '');
}

/** Whether somebody who came late reads on in the middle of a JSON string: JSON comes in one line, documents do not. */
const inside = (text: string) => !text.includes('\n') && /\\n|"\s*,\s*"\w+"\s*:/.test(text);

/** The texts of JSON objects, one below the other; what is no JSON stays as it is. */
export function readable(text: string): string {
  const answer = inside(text) && !text.startsWith('{') ? `{"":"${text}` : text;
  if (!/^\s*\{/.test(answer)) return answer;
  const parts: string[] = [];
  let key = '';
  let mark = '';
  for (let at = 0; at < answer.length;) {
    STRING.lastIndex = SCALAR.lastIndex = at;
    const string = STRING.exec(answer);
    const scalar = string ? null : SCALAR.exec(answer);
    if (!string && !scalar && (answer[at] ?? '').trim() !== '') mark = answer[at] ?? '';
    at = string ? STRING.lastIndex : scalar ? SCALAR.lastIndex : at + 1;
    // What is still being written here may become a key.
    if (string && at === answer.length && (mark === '{' || mark === ',')) break;
    if (string && string[2] !== '' && /^\s*:/.test(answer.slice(at, at + 20))) {
      key = unescape(string[1] ?? '');
    } else if (string && string[1] !== '') {
      parts.push(unescape(string[1] ?? '').trimEnd());
    } else if (scalar) {
      parts.push(key === '' ? scalar[0] : `${key}: ${scalar[0]}`);
    }
  }
  return parts.join('\n\n');
}
