// The one way to the server: a typed client, and `call`, which turns a reply into its data or throws an
// ApiError. The session cookie is sent by the browser; nothing secret is held in JavaScript.
import createClient from 'openapi-fetch';
import { asApiError, errorOf } from './problem';
import type { Full, List, paths } from './types';

export const api = createClient<paths>({ baseUrl: '' });

/** What a sign-in that is not done yet answers; all else of 401 is about a session that is over. */
const SIGNING_IN = new Set([
  'login_failed',
  'second_factor_required',
  'second_factor_refused',
  'passkey_refused',
  'passkey_copied',
]);

let signedOut: () => void = () => undefined;

/** Sets what happens when the server no longer knows this browser (401 on any call but the login). */
export function onSignedOut(handler: () => void): void {
  signedOut = handler;
}

type Outcome<T> = { data?: T; error?: unknown; response: Response };

export async function call<T>(request: Promise<Outcome<T>>): Promise<Full<T>> {
  let outcome: Outcome<T>;
  try {
    outcome = await request;
  } catch (cause) {
    throw asApiError(cause);
  }
  const { response, data, error } = outcome;
  if (response.ok) return data as Full<T>;
  const failure = errorOf(response, error);
  if (failure.status === 401 && !SIGNING_IN.has(failure.code)) signedOut();
  throw failure;
}

/** What `readAll` reads when nothing else is said; a page that shows such a list says so when it is full. */
export const READ_AT_MOST = 2000;

/** Reads a list to its end, page by page, but never more than `most` items. */
export async function readAll<T>(
  page: (cursor: string | undefined) => Promise<List<T>>,
  most = READ_AT_MOST,
): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const list = await page(cursor);
    items.push(...list.items);
    cursor = list.next_cursor ?? undefined;
  } while (cursor !== undefined && items.length < most);
  return items;
}
