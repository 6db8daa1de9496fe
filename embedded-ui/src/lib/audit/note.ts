// Checkpoints: what an audit log says of itself, signed. C2SP tlog-checkpoint in a C2SP signed-note, with Ed25519.
import { type Bytes, fromBase64, same, sha256 } from './merkle';

const ED25519 = 1;
const SIGNED = '\u2014 ';

export type Checkpoint = { origin: string; size: number; root: Bytes };
export type Verifier = { origin: string; id: Bytes; key: Bytes };

const hex = (bytes: Bytes): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

function decoded(text: string): Bytes | null {
  try {
    return fromBase64(text);
  } catch {
    return null;
  }
}

/** Reads `name+hash+key`; null when it is not that, or when the hash is not of that name and key. */
export async function verifierOf(text: string): Promise<Verifier | null> {
  const found = /^([^\s+]+)\+([0-9a-f]{8})\+(\S+)$/.exec(text.trim());
  const bytes = decoded(found?.[3] ?? '');
  if (!found || !bytes || bytes.length !== 33 || bytes[0] !== ED25519) return null;
  const origin = found[1] ?? '';
  const id = (await sha256(new TextEncoder().encode(`${origin}\n`), bytes)).slice(0, 4);
  return hex(id) === found[2] ? { origin, id, key: bytes.slice(1) } : null;
}

/** SHA-256 of the key, in groups that can be read to somebody on the telephone. */
export async function fingerprint({ key }: Verifier): Promise<string> {
  return hex(await sha256(key))
    .slice(0, 32)
    .replace(/(.{4})(?=.)/g, '$1 ');
}

function parse(text: string): Checkpoint | null {
  const [origin, size, root] = text.split('\n');
  const hash = decoded(root ?? '');
  if (!origin || !size || !/^(0|[1-9]\d{0,15})$/.test(size) || hash?.length !== 32) return null;
  return { origin, size: Number(size), root: hash };
}

/** The checkpoint in a note that this key's log signed; null when it did not. */
export async function openNote(note: string, verifier: Verifier): Promise<Checkpoint | null> {
  const end = note.indexOf('\n\n');
  if (end < 0) return null;
  const text = note.slice(0, end + 1);
  const algorithm = { name: 'Ed25519' };
  const key = await crypto.subtle.importKey('raw', verifier.key, algorithm, false, ['verify']);
  for (const line of note.slice(end + 2).split('\n')) {
    const [name, encoded] = line.startsWith(SIGNED) ? line.slice(SIGNED.length).split(' ') : [];
    const bytes = decoded(encoded ?? '');
    if (name !== verifier.origin || bytes?.length !== 68 || !same(bytes.slice(0, 4), verifier.id)) continue;
    if (await crypto.subtle.verify(algorithm, key, bytes.slice(4), new TextEncoder().encode(text))) {
      const checkpoint = parse(text);
      return checkpoint?.origin === verifier.origin ? checkpoint : null;
    }
  }
  return null;
}
