// Who keeps which collections.
import type { MarketCollection } from '../../lib/api/types';
import { session } from '../../lib/session.svelte';

/** Null: the site's. */
type Whose = MarketCollection['organization_id'];

export const mayCurate = (whose: Whose): boolean =>
  whose === null ? session.maySite('plugin.manage') : session.may('plugin.enable', whose);

/** Those whose collections the reader makes. */
export const curated = (): Whose[] =>
  [null, ...(session.me?.organizations ?? []).map(({ id }) => id)].filter(mayCurate);

export const whoseName = (whose: Whose): string =>
  whose === null ? 'Everybody on the site' : session.organizationName(whose);
