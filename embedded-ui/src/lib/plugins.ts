// Words and tones of plugins, and what is granted to one as a form holds it.
import { ApiError } from './api/problem';
import type { Capability, OrgPlugin, Plugin } from './api/types';
import { duration, words, type Tone } from './format';

const TONES: Record<Plugin['status'], Tone> = { active: 'good', disabled: 'neutral', failed: 'bad' };

export const pluginTone = (status: Plugin['status']): Tone => TONES[status];

export const ORG_STATES: Record<OrgPlugin['status'], { label: string; tone: Tone }> = {
  active: { label: 'On', tone: 'good' },
  available: { label: 'Not switched on', tone: 'neutral' },
  disabled: { label: 'Switched off', tone: 'neutral' },
  failed: { label: 'Failed', tone: 'bad' },
  unavailable: { label: 'Off for the whole site', tone: 'warn' },
};

const CAPABILITIES: Record<string, string> = {
  http: 'Requests to other servers',
  kv: 'Data of its own',
  files: 'Files of projects',
  llm: 'Models',
  memory_mib: 'Memory',
  time_ms: 'Time',
};
const PARTS: Record<string, string> = {
  hosts: 'Hosts',
  methods: 'Methods',
  max_bytes: 'Bytes at most, each way',
  read: 'Read',
  write: 'Change',
  models: 'Models',
  tokens_per_day: 'Tokens a day at most',
  kv: 'Bytes at most',
  memory_mib: 'MiB at most',
  time_ms: 'Milliseconds of a call at most',
};

/** Where one goes on when a plugin was installed: to what it asks for. Data of its own every plugin has. */
export const firstLook = (slug: string, asks: { code: string }[]): string =>
  `/plugins/${slug}${asks.some(({ code }) => code !== 'kv') ? '/capabilities' : ''}`;

export const signerNames = (signers: Plugin['signed_by']): string =>
  signers.map(({ name, trusted }) => `${name}${trusted ? '' : ' (not a key this site trusts)'}`).join(', ');

/** What was written as settings that have to be there from the start. */
export function settingsIn(text: string): Record<string, never> {
  try {
    return JSON.parse(text) as Record<string, never>;
  } catch {
    throw new ApiError(400, 'invalid_config', 'This is not JSON.', 'config');
  }
}

/** An error without its traceback, for a list. */
export const firstLine = (text: string): string => text.split('\n', 1)[0] ?? text;

/** How long a call took; null before the first. Most take less than a millisecond. */
export const callTime = (ms: number | null): string | null =>
  ms === null ? null : ms < 1000 ? `${ms < 10 ? ms.toFixed(2) : Math.round(ms)} ms` : duration(ms);

/** Hours of figures to choose from, besides a day. */
export const FIGURE_SPANS: Record<string, string> = {
  48: 'Last 48 hours',
  168: 'Last 7 days',
  720: 'Last 30 days',
  2160: 'Last 90 days',
};
/** What the address asks for. */
export function hoursIn(address: URLSearchParams): number {
  const hours = address.get('hours') ?? '';
  return hours in FIGURE_SPANS ? Number(hours) : 24;
}

/** A step of figures: `15 minutes`, `3 hours`, `day`. */
export function stepName(seconds: number): string {
  if (seconds < 3600) return `${seconds / 60} minutes`;
  const hours = seconds / 3600;
  return hours === 1 ? 'hour' : hours === 24 ? 'day' : `${hours} hours`;
}

export const capabilityName = (code: string): string => CAPABILITIES[code] ?? words(code);
export const partName = (part: string): string => PARTS[part] ?? words(part);

type Parts = Record<string, unknown>;
/** A number alone is a part called by the capability. */
function partsOf(code: string, value: unknown): Parts {
  if (value === null || value === undefined) return {};
  return typeof value === 'object' && !Array.isArray(value) ? (value as Parts) : { [code]: value };
}
const list = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

/** One part of a grant: which of a list, or how much. */
export type Part =
  | { name: string; kind: 'list'; choices: { value: string; asked: boolean }[]; chosen: string[] }
  | { name: string; kind: 'amount'; most: number; amount: number | null };
export type Draft = { code: string; words: string[]; on: boolean; parts: Part[] };

/** What is granted now, to be changed. What was granted more narrowly than it is asked for can be chosen, too. */
export function draftOf({ code, words, asked, granted }: Capability): Draft {
  const now = partsOf(code, granted);
  const parts = Object.entries(partsOf(code, asked)).map(([name, value]): Part => {
    if (typeof value === 'number') {
      const amount = typeof now[name] === 'number' ? now[name] : value;
      return { name, kind: 'amount', most: value, amount };
    }
    const [wanted, chosen] = [list(value), list(now[name])];
    const narrower = chosen.filter((one) => !wanted.includes(one)).map((value) => ({ value, asked: false }));
    const choices = [...wanted.map((value) => ({ value, asked: true })), ...narrower];
    return { name, kind: 'list', choices, chosen };
  });
  return { code, words, on: granted !== null && granted !== undefined && granted !== 0, parts };
}

/** The draft of a capability that is granted as it is asked for. */
export function whole(draft: Draft): Draft {
  const parts = draft.parts.map((part): Part =>
    part.kind === 'amount'
      ? { ...part, amount: part.most }
      : { ...part, chosen: part.choices.filter(({ asked }) => asked).map(({ value }) => value) },
  );
  return { ...draft, on: true, parts };
}

/** What the server is asked to grant. Data of its own a plugin has unless it is refused. */
export function grantsOf(drafts: Draft[]): Parts {
  const grants: Parts = {};
  for (const { code, on, parts } of drafts) {
    const values = Object.fromEntries(
      parts.map((part) => [part.name, part.kind === 'amount' ? (part.amount ?? part.most) : part.chosen]),
    );
    if (on) grants[code] = code in values ? values[code] : values;
    else if (code === 'kv') grants[code] = 0;
  }
  return grants;
}
