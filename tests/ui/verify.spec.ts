// The check of audit proofs that the pages do, against a tree that is built here in the plainest way; no browser needed.
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { expect, test } from '@playwright/test';
import { consistent } from '../../embedded-ui/src/lib/audit/merkle';
import { type Known, type Memory, type Proof, verify } from '../../embedded-ui/src/lib/audit/verify';

const sha256 = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
const leafHash = (leaf: string) => sha256(Buffer.of(0), Buffer.from(leaf));
const split = (count: number) => 2 ** Math.ceil(Math.log2(count) - 1);

/** RFC 6962, section 2.1, word for word. */
function root(leaves: Buffer[]): Buffer {
  if (leaves.length === 0) return sha256();
  if (leaves.length === 1) return leaves[0]!;
  const k = split(leaves.length);
  return sha256(Buffer.of(1), root(leaves.slice(0, k)), root(leaves.slice(k)));
}

function inclusion(m: number, leaves: Buffer[]): Buffer[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...inclusion(m, leaves.slice(0, k)), root(leaves.slice(k))]
    : [...inclusion(m - k, leaves.slice(k)), root(leaves.slice(0, k))];
}

function subproof(m: number, leaves: Buffer[], whole: boolean): Buffer[] {
  if (m === leaves.length) return whole ? [] : [root(leaves)];
  const k = split(leaves.length);
  return m <= k
    ? [...subproof(m, leaves.slice(0, k), whole), root(leaves.slice(k))]
    : [...subproof(m - k, leaves.slice(k), false), root(leaves.slice(0, k))];
}

const consistency = (m: number, leaves: Buffer[]) =>
  m === 0 || m === leaves.length ? [] : subproof(m, leaves, true);
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

const entry = (id: number) => ({
  id,
  at: '2026-01-01T00:00:00.000000Z',
  action: 'create',
  organization_id: 7,
  resource_type: 'project',
  resource_id: String(id),
  request_id: null,
  success: true,
});

/** A log with its own key, as the server would answer for it. */
function log(count: number, pair = generateKeyPairSync('ed25519')) {
  const origin = 'resoftai-test/audit/org';
  const texts = Array.from({ length: count }, (_, id) => JSON.stringify(entry(id)));
  const leaves = texts.map(leafHash);
  const der = pair.publicKey.export({ type: 'spki', format: 'der' });
  const key = Buffer.concat([Buffer.of(1), der.subarray(-32)]);
  const id = sha256(Buffer.from(`${origin}\n`), key).subarray(0, 4);
  const text = `${origin}\n${count}\n${base64(root(leaves))}\n`;
  const signature = Buffer.concat([id, sign(null, Buffer.from(text), pair.privateKey)]);
  const proof = (position: number): Proof => ({
    origin,
    verifier_key: `${origin}+${id.toString('hex')}+${base64(key)}`,
    checkpoint: `${text}\n\u2014 ${origin} ${base64(signature)}\n`,
    position,
    leaf: texts[position]!,
    leaf_hash: base64(leaves[position]!),
    hashes: inclusion(position, leaves).map(base64),
  });
  return {
    pair,
    leaves,
    proof,
    ask: async (from: number, to: number) => consistency(from, leaves.slice(0, to)).map(base64),
  };
}

function memory(): Memory & { known: Map<string, Known> } {
  const known = new Map<string, Known>();
  return {
    known,
    get: (origin) => known.get(origin) ?? null,
    set: (origin, value) => known.set(origin, value),
  };
}

const claims = async (...about: Parameters<typeof verify>) => {
  const { state, steps } = await verify(...about);
  return {
    state,
    wrong: steps.filter((step) => step.state === 'bad').map(({ claim }) => claim),
  };
};

test('every entry of every small log is found in it', async () => {
  for (let count = 1; count <= 20; count++) {
    const made = log(count);
    for (let position = 0; position < count; position++) {
      const told = await claims(made.proof(position), entry(position), memory(), made.ask);
      expect(told, `${position} of ${count}`).toEqual({
        state: 'good',
        wrong: [],
      });
    }
  }
});

test('each smaller log is the beginning of each larger one, and of no other', async () => {
  const { leaves } = log(20);
  const tree = (size: number) => ({
    size,
    root: new Uint8Array(root(leaves.slice(0, size))),
  });
  for (let to = 1; to <= 20; to++) {
    for (let from = 0; from <= to; from++) {
      const path = consistency(from, leaves.slice(0, to)).map((hash) => new Uint8Array(hash));
      expect(await consistent(tree(from), tree(to), path), `${from} to ${to}`).toBe(true);
      if (from === 0) continue;
      const other = { size: from, root: new Uint8Array(32) };
      expect(await consistent(other, tree(to), path), `another ${from} to ${to}`).toBe(false);
    }
  }
  expect(await consistent(tree(5), tree(4), [])).toBe(false);
});

test('whatever is changed is found out', async () => {
  const made = log(11);
  const proof = made.proof(6);
  const turned = (text: string) =>
    base64(Buffer.from(text, 'base64').map((byte, at) => (at === 0 ? byte ^ 1 : byte)));
  const tampered: [string, Partial<Proof>][] = [
    ['text', { leaf: proof.leaf!.replace('create', 'delete') }],
    ['hash', { leaf_hash: turned(proof.leaf_hash) }],
    ['position', { position: 5 }],
    ['beyond', { position: 11 }],
    ['path', { hashes: [turned(proof.hashes[0]!), ...proof.hashes.slice(1)] }],
    ['shorter path', { hashes: proof.hashes.slice(1) }],
    ['longer path', { hashes: [...proof.hashes, proof.hashes[0]!] }],
    ['size', { checkpoint: proof.checkpoint.replace('\n11\n', '\n12\n') }],
    ['no signature', { checkpoint: proof.checkpoint.split('\n\n')[0]! }],
    ['not base64', { leaf_hash: '***' }],
    ['another log', { checkpoint: log(11).proof(6).checkpoint }],
    ['another key', { verifier_key: log(11).proof(6).verifier_key }],
  ];
  for (const [what, change] of tampered) {
    const told = await claims({ ...proof, ...change }, entry(6), memory(), made.ask);
    expect(told.state, what).toBe('bad');
  }
  for (const change of [
    { action: 'delete' },
    { resource_id: '7' },
    { success: false },
    { at: '2027-01-01T00:00:00Z' },
  ]) {
    const told = await claims(proof, { ...entry(6), ...change }, memory(), made.ask);
    expect(told.wrong).toEqual(['The page shows something else than was logged.']);
  }
});

test('a dropped body is no failure, and its place is still checked', async () => {
  const made = log(5);
  const proof = { ...made.proof(2), leaf: null };
  expect((await claims(proof, entry(2), memory(), made.ask)).state).toBe('good');
  expect((await claims({ ...proof, position: 3 }, entry(2), memory(), made.ask)).state).toBe('bad');
});

test('a log that was written anew, or has another key, is found out by who looked before', async () => {
  const kept = memory();
  const before = log(5);
  await verify(before.proof(1), entry(1), kept, before.ask);
  const grown = log(9, before.pair);
  expect((await claims(grown.proof(1), entry(1), kept, grown.ask)).wrong).toEqual([]);
  // An answer from before the log grew is no sign of anything.
  expect((await claims(before.proof(1), entry(1), kept, grown.ask)).wrong).toEqual([]);
  const shorter = await claims(before.proof(1), entry(1), kept, async () => null);
  expect(shorter.wrong).toEqual(['The log was rewritten since this browser last looked.']);
  const [known] = kept.known.values();
  kept.known.set('resoftai-test/audit/org', {
    ...known!,
    root: base64(Buffer.alloc(32, 3)),
  });
  const larger = log(12, before.pair);
  const rewritten = await claims(larger.proof(1), entry(1), kept, larger.ask);
  expect(rewritten.wrong).toEqual(['The log was rewritten since this browser last looked.']);
  const other = log(12);
  const exchanged = await claims(other.proof(1), entry(1), kept, other.ask);
  expect(exchanged.wrong).toEqual(['The key is not the one this browser knows.']);
});
