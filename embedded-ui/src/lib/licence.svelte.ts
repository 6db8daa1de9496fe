// How the site's licence stands, for its page and for the line above every page of who administers the site.
import { api, call } from './api/client';
import type { LicenceStatus } from './api/types';
import type { Tone } from './format';
import { Loaded } from './load.svelte';

export const licence = new Loaded<LicenceStatus>(() => call(api.GET('/api/licence')));

export const LICENCE_STATES: Record<LicenceStatus['state'], { label: string; tone: Tone }> = {
  none: { label: 'No licence', tone: 'neutral' },
  not_yet_valid: { label: 'Not valid yet', tone: 'neutral' },
  valid: { label: 'Valid', tone: 'good' },
  expiring: { label: 'Ends soon', tone: 'warn' },
  grace: { label: 'Ended, in grace', tone: 'warn' },
  expired: { label: 'Ended', tone: 'bad' },
  revoked: { label: 'Revoked', tone: 'bad' },
  other_installation: { label: 'For another installation', tone: 'bad' },
  untrusted: { label: 'Unknown key', tone: 'bad' },
};

/** What has to be said above every page; null: nothing. A site without a licence is none that lacks one. */
export function licenceWarning(status: LicenceStatus | null): string | null {
  if (status === null) return null;
  if (status.clock_behind !== null)
    return 'This server’s clock is behind. Set it: the licence goes by the later time.';
  const { tone } = LICENCE_STATES[status.state];
  return tone === 'warn' || tone === 'bad' ? `The site’s licence: ${status.sentence}` : null;
}
