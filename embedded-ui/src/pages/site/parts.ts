// The parts of the site's own area, and which of them the reader is offered.
import type { SiteTab } from '../../lib/routes';
import { session } from '../../lib/session.svelte';

/** Each with the permission over the whole site that it takes. */
const PARTS: { tab: SiteTab; label: string; permission: string }[] = [
  { tab: 'organizations', label: 'Organisations', permission: 'organization.suspend' },
  { tab: 'people', label: 'People', permission: 'user.read' },
  { tab: 'roles', label: 'Site roles', permission: 'user.manage' },
  { tab: 'sso', label: 'Single sign-on', permission: 'organization.manage' },
  { tab: 'mail', label: 'Mail', permission: 'organization.manage' },
  { tab: 'mirror', label: 'Mirror', permission: 'plugin.install' },
  { tab: 'backups', label: 'Backups', permission: 'backup.manage' },
  { tab: 'licence', label: 'Licence', permission: 'organization.manage' },
  { tab: 'start', label: 'First steps', permission: 'organization.manage' },
  { tab: 'data', label: 'Personal data', permission: 'organization.manage' },
];

export const siteParts = () => PARTS.filter(({ permission }) => session.maySite(permission));

/** The first part has no address of its own. */
export const siteAddress = (tab: SiteTab) => (tab === 'organizations' ? '/site' : `/site/${tab}`);
