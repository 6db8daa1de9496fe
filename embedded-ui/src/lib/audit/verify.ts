// Checks the proof of an audit entry in this browser, step by step, and remembers what it saw of the log: another key,
// or a log that did not grow out of the one of last time, is found out the next time.
import { consistent, fromBase64, leafHash, rootOfInclusion, same, toBase64 } from './merkle';
import { fingerprint, openNote, verifierOf, type Checkpoint } from './note';

/** What the server answers for an entry. */
export type Proof = {
  origin: string;
  verifier_key: string;
  checkpoint: string;
  position: number;
  /** Null when retention has dropped the entry's body. */
  leaf: string | null;
  leaf_hash: string;
  hashes: string[];
};

/** The entry as the page shows it. */
export type Shown = Record<string, unknown> & { id: number };

/** What this browser knows of a log from before. */
export type Known = { verifierKey: string; size: number; root: string };
export type Memory = { get(origin: string): Known | null; set(origin: string, known: Known): void };

/** `unsure`: nothing is wrong, but this could not be checked. */
export type Step = { state: 'good' | 'unsure' | 'bad'; claim: string; detail: string };
export type Verdict = { state: 'good' | 'bad'; steps: Step[]; fingerprint: string | null };

/** The hashes of a consistency proof between two sizes of the log; null when it has no such sizes. */
export type AskConsistency = (from: number, to: number) => Promise<string[] | null>;

/** What an entry is shown with and its leaf has in the clear. */
const FIELDS = [
  'id',
  'at',
  'action',
  'organization_id',
  'resource_type',
  'resource_id',
  'request_id',
  'success',
];

const good = (claim: string, detail: string): Step => ({ state: 'good', claim, detail });
const unsure = (claim: string, detail: string): Step => ({ state: 'unsure', claim, detail });
const bad = (claim: string, detail: string): Step => ({ state: 'bad', claim, detail });

async function checkLeaf(proof: Proof): Promise<Step> {
  if (proof.leaf === null) {
    return unsure(
      'The entry’s text was dropped when its time was over.',
      'Its hash is still in the log; what follows is checked with that.',
    );
  }
  return same(await leafHash(proof.leaf), fromBase64(proof.leaf_hash))
    ? good('The entry’s text has the hash that the log holds.', `SHA-256 ${proof.leaf_hash}`)
    : bad('The entry’s text does not have the hash that the log holds.', 'Somebody changed one of them.');
}

/** The page may show something else than the leaf says. */
function checkShown(shown: Shown, leaf: string): Step {
  let logged: Record<string, unknown>;
  try {
    logged = JSON.parse(leaf) as Record<string, unknown>;
  } catch {
    return bad('The logged text is no entry.', 'It cannot be read as JSON.');
  }
  const time = (value: unknown) => (typeof value === 'string' ? Date.parse(value) : value);
  const differing = FIELDS.filter((field) => {
    const [page, log] = [shown[field] ?? null, logged[field] ?? null];
    return field === 'at' ? time(page) !== time(log) : page !== log;
  });
  return differing.length === 0
    ? good('What the page shows is what was logged.', `Compared: ${FIELDS.join(', ')}.`)
    : bad('The page shows something else than was logged.', `Different: ${differing.join(', ')}.`);
}

async function checkPlace(proof: Proof, checkpoint: Checkpoint): Promise<Step> {
  const leaf = fromBase64(proof.leaf_hash);
  const root = await rootOfInclusion(
    leaf,
    proof.position,
    checkpoint.size,
    proof.hashes.map((hash) => fromBase64(hash)),
  );
  const place = `entry ${proof.position + 1} of ${checkpoint.size}`;
  return root && same(root, checkpoint.root)
    ? good('The entry is in the log.', `It is ${place}; ${proof.hashes.length} hashes lead to the root.`)
    : bad('The entry is not in the log.', `As ${place} it does not lead to the signed root.`);
}

/** An answer of before may be checked after a later one: then the known log is the one that has grown. */
async function checkGrowth(known: Known, checkpoint: Checkpoint, ask: AskConsistency): Promise<Step> {
  const before = { size: known.size, root: fromBase64(known.root) };
  const [older, newer] = before.size <= checkpoint.size ? [before, checkpoint] : [checkpoint, before];
  const hashes = older.size === newer.size ? [] : await ask(older.size, newer.size);
  const path = hashes?.map((hash) => fromBase64(hash));
  return path && (await consistent(older, newer, path))
    ? good(
        'The log has only grown since this browser last looked.',
        `The first ${older.size} of its ${newer.size} entries are the same.`,
      )
    : bad(
        'The log was rewritten since this browser last looked.',
        `It had ${known.size} entries then; they are not the first of what it has now.`,
      );
}

function checkKey(proof: Proof, known: Known | null): Step {
  if (known === null) {
    return unsure(
      'This browser sees the log’s key for the first time.',
      'Compare its fingerprint with the one your administrator gave you. It is remembered from now on.',
    );
  }
  return known.verifierKey === proof.verifier_key
    ? good('The key is the one this browser knows.', 'It has not changed since the first time.')
    : bad('The key is not the one this browser knows.', `Known is ${known.verifierKey}`);
}

async function steps(proof: Proof, shown: Shown, memory: Memory, ask: AskConsistency): Promise<Verdict> {
  const verifier = await verifierOf(proof.verifier_key);
  if (!verifier || verifier.origin !== proof.origin) {
    return verdict([bad('The log’s key cannot be read.', proof.verifier_key)], null);
  }
  const print = await fingerprint(verifier);
  const checks = [await checkLeaf(proof)];
  if (proof.leaf !== null) checks.push(checkShown(shown, proof.leaf));
  const checkpoint = await openNote(proof.checkpoint, verifier);
  if (!checkpoint) {
    checks.push(bad('The log’s state is not signed with this key.', `Key of ${verifier.origin}`));
    return verdict(checks, print);
  }
  checks.push(await checkPlace(proof, checkpoint));
  checks.push(good('The log’s state is signed.', `Ed25519, by ${verifier.origin}`));
  const known = memory.get(proof.origin);
  checks.push(checkKey(proof, known));
  if (known?.verifierKey === proof.verifier_key) checks.push(await checkGrowth(known, checkpoint, ask));
  const result = verdict(checks, print);
  if (result.state === 'good' && checkpoint.size >= (known?.size ?? 0)) {
    memory.set(proof.origin, {
      verifierKey: proof.verifier_key,
      size: checkpoint.size,
      root: toBase64(checkpoint.root),
    });
  }
  return result;
}

const verdict = (steps: Step[], print: string | null): Verdict => ({
  state: steps.some(({ state }) => state === 'bad') ? 'bad' : 'good',
  steps,
  fingerprint: print,
});

/** Checks a proof. Bytes that are no Base64 or no numbers count as a failed check, not as an error. */
export async function verify(
  proof: Proof,
  shown: Shown,
  memory: Memory,
  ask: AskConsistency,
): Promise<Verdict> {
  try {
    return await steps(proof, shown, memory, ask);
  } catch (cause) {
    if (!(cause instanceof DOMException) && !(cause instanceof RangeError)) throw cause;
    return verdict([bad('The proof cannot be read.', cause.message)], null);
  }
}

/** Why this browser cannot check anything here; null when it can. */
export async function unable(): Promise<string | null> {
  if (!isSecureContext) {
    return 'A browser checks signatures only on pages that came over HTTPS. Open this site with https://, or use resoftai audit prove and resoftai audit verify.';
  }
  try {
    await crypto.subtle.importKey('raw', new Uint8Array(32), { name: 'Ed25519' }, false, ['verify']);
    return null;
  } catch {
    return 'This browser does not know Ed25519 signatures. Use a newer one, or resoftai audit prove and resoftai audit verify.';
  }
}

const KEY = 'resoftai.audit-logs';

/** Remembers in the browser's storage; where that is switched off, nothing is remembered. */
export const storedMemory: Memory = {
  get(origin) {
    try {
      const all = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Record<string, Known>;
      return all[origin] ?? null;
    } catch {
      return null;
    }
  },
  set(origin, known) {
    try {
      const all = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Record<string, Known>;
      localStorage.setItem(KEY, JSON.stringify({ ...all, [origin]: known }));
    } catch {
      // Storage may be switched off: then the next check sees the key for the first time again.
    }
  },
};
