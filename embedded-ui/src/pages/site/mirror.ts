// What the mirror's words are called on the page.
import type { MirrorListed } from '../../lib/api/types';

export const KINDS: Record<MirrorListed['kind'], string> = {
  plugin: 'Plugins',
  model: 'Models',
  advisory: 'Advisories',
  release: 'Releases',
  other: 'Other',
};

export const OWNERS: Record<MirrorListed['repository'], string> = {
  vendor: 'From outside',
  own: 'The site’s own',
};
