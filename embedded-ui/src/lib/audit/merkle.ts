// Merkle trees as RFC 6962 hashes them; proofs are checked as RFC 9162, sections 2.1.3.2 and 2.1.4.2, says. Nothing
// that the server says of a tree is believed here: sizes and positions are only numbers that must work out.

export type Bytes = Uint8Array<ArrayBuffer>;

export function fromBase64(text: string): Bytes {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

export function toBase64(bytes: Bytes): string {
  return btoa(String.fromCharCode(...bytes));
}

export function same(left: Bytes, right: Bytes): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at]);
}

export async function sha256(...parts: Bytes[]): Promise<Bytes> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
}

export const leafHash = (leaf: string): Promise<Bytes> =>
  sha256(Uint8Array.of(0), new TextEncoder().encode(leaf));
const nodeHash = (left: Bytes, right: Bytes): Promise<Bytes> => sha256(Uint8Array.of(1), left, right);

/** The root that a leaf and its inclusion proof make; null when the proof is not of that shape. */
export async function rootOfInclusion(
  leaf: Bytes,
  position: number,
  size: number,
  path: Bytes[],
): Promise<Bytes | null> {
  if (position < 0 || position >= size) return null;
  let node = BigInt(position);
  let last = BigInt(size) - 1n;
  let root = leaf;
  for (const hash of path) {
    if (last === 0n) return null;
    if (node % 2n === 1n || node === last) {
      root = await nodeHash(hash, root);
      while (node % 2n === 0n && node !== 0n) {
        node /= 2n;
        last /= 2n;
      }
    } else {
      root = await nodeHash(root, hash);
    }
    node /= 2n;
    last /= 2n;
  }
  return last === 0n ? root : null;
}

/** Whether the tree of `from` leaves is the beginning of the tree of `to` leaves. */
export async function consistent(
  from: { size: number; root: Bytes },
  to: { size: number; root: Bytes },
  path: Bytes[],
): Promise<boolean> {
  if (from.size === to.size) return same(from.root, to.root) && path.length === 0;
  if (from.size > to.size) return false;
  if (from.size === 0) return path.length === 0;
  let node = BigInt(from.size) - 1n;
  let last = BigInt(to.size) - 1n;
  while (node % 2n === 1n) {
    node /= 2n;
    last /= 2n;
  }
  // An earlier tree that is complete is its own first hash, which the proof leaves out.
  const [first, ...rest] = node === 0n ? [from.root, ...path] : path;
  if (first === undefined) return false;
  let [older, newer] = [first, first];
  for (const hash of rest) {
    if (last === 0n) return false;
    if (node % 2n === 1n || node === last) {
      older = await nodeHash(hash, older);
      newer = await nodeHash(hash, newer);
      while (node % 2n === 0n && node !== 0n) {
        node /= 2n;
        last /= 2n;
      }
    } else {
      newer = await nodeHash(newer, hash);
    }
    node /= 2n;
    last /= 2n;
  }
  return last === 0n && same(older, from.root) && same(newer, to.root);
}
