// What the pages say about single sign-on: why one was refused, and its providers in words.
import type { IdentityProvider } from './api/types';

const REFUSALS: Record<string, string> = {
  sso_refused:
    'The sign-in did not count. Try it again; if that does not help, ask an administrator: the audit log says why.',
  sso_not_linked:
    'Nobody here is linked with you there. Sign in as you did before and link your account under My account, Security; or ask an administrator.',
  sso_link_first:
    'An account here has your e-mail address already. Sign in to it as you did before, and link it under My account, Security.',
  sso_inactive: 'Your account here is switched off. Ask an administrator.',
  sso_linked: 'You are linked with an account already. Unlink that one first.',
  seats_used: 'All seats of this site are taken, so no account is made for you. Ask an administrator.',
  login_throttled: 'Too many sign-ins failed from here. Wait some minutes, then try again.',
};

/** Why an identity provider's answer led back to the sign-in page; null: none did. */
export function signOnRefusal(query: URLSearchParams): string | null {
  const code = query.get('sso');
  if (code === null) return null;
  return REFUSALS[code] ?? 'The sign-in failed. Ask an administrator: the audit log says why.';
}

export const KINDS = { saml: 'SAML 2.0', oidc: 'OpenID Connect' } as const;

/** The worst of its certificates; null where there are none. */
export function worstCertificate({
  certificates,
}: IdentityProvider): 'valid' | 'expiring' | 'expired' | null {
  const states = certificates.map(({ state }) => state);
  if (states.length === 0) return null;
  // Any one that counts will do; it ends when the last one does.
  if (states.includes('valid')) return 'valid';
  return states.includes('expiring') ? 'expiring' : 'expired';
}
