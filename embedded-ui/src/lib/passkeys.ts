// The browser's half of passkeys: what the server asks, in the form that browsers take, and their answer as JSON.

type Json = Record<string, unknown>;
type Options = { publicKey: Json };

/** Whether this browser, at this address, can have passkeys: not at a bare IP address, and only over HTTPS or localhost. */
export function passkeysPossible(): boolean {
  const named = !/^[\d.]+$|:/.test(location.hostname.replace(/^\[|\]$/g, ''));
  return named && isSecureContext && 'PublicKeyCredential' in window;
}

/** Whether the browser offers passkeys of itself while a name is typed. */
export async function offersByItself(): Promise<boolean> {
  return passkeysPossible() && (await PublicKeyCredential.isConditionalMediationAvailable?.()) === true;
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (char) => char.charCodeAt(0));
}

function text(buffer: ArrayBuffer): string {
  const binary = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(binary).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

function descriptors(list: unknown): PublicKeyCredentialDescriptor[] {
  const items = (list ?? []) as (Json & { id: string })[];
  return items.map((item) => ({ ...item, id: bytes(item.id) }) as unknown as PublicKeyCredentialDescriptor);
}

function outside(credential: PublicKeyCredential): Json {
  return { id: credential.id, rawId: text(credential.rawId), type: credential.type };
}

/** Has a device make a passkey. */
export async function make(options: unknown): Promise<Record<string, never>> {
  const asked = (options as Options).publicKey;
  const user = asked['user'] as Json & { id: string };
  const publicKey = {
    ...asked,
    challenge: bytes(asked['challenge'] as string),
    user: { ...user, id: bytes(user.id) },
    excludeCredentials: descriptors(asked['excludeCredentials']),
  } as unknown as PublicKeyCredentialCreationOptions;
  const made = (await told(navigator.credentials.create({ publicKey }))) as PublicKeyCredential;
  const { attestationObject, clientDataJSON } = made.response as AuthenticatorAttestationResponse;
  const response = { attestationObject: text(attestationObject), clientDataJSON: text(clientDataJSON) };
  return { ...outside(made), response } as unknown as Record<string, never>;
}

/** Has a device sign in with one it holds; `waiting` shows them only when the reader turns to the name's field. */
export async function use(options: unknown, waiting?: AbortSignal): Promise<Record<string, never>> {
  const asked = (options as Options).publicKey;
  const publicKey = {
    ...asked,
    challenge: bytes(asked['challenge'] as string),
    allowCredentials: descriptors(asked['allowCredentials']),
  } as unknown as PublicKeyCredentialRequestOptions;
  const request: CredentialRequestOptions = waiting
    ? { publicKey, mediation: 'conditional', signal: waiting }
    : { publicKey };
  const given = (await told(navigator.credentials.get(request))) as PublicKeyCredential;
  const answer = given.response as AuthenticatorAssertionResponse;
  const response = {
    authenticatorData: text(answer.authenticatorData),
    clientDataJSON: text(answer.clientDataJSON),
    signature: text(answer.signature),
    userHandle: answer.userHandle ? text(answer.userHandle) : null,
  };
  return { ...outside(given), response } as unknown as Record<string, never>;
}

/** A browser's refusal in words. */
async function told<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (cause) {
    const name = cause instanceof DOMException ? cause.name : '';
    if (name === 'NotAllowedError') {
      throw new Error('Nothing was done: it was cancelled, took too long, or no passkey was found.');
    }
    if (name === 'InvalidStateError') throw new Error('This device has a passkey for your account already.');
    throw cause;
  }
}
