// Which page an address names. Pure, so that every address has a test.

const PROJECT_TABS = ['run', 'files', 'findings', 'runs', 'settings', 'templates'] as const;
const ORGANIZATION_TABS = [
  'overview',
  'people',
  'teams',
  'roles',
  'plugins',
  'usage',
  'quotas',
  'audit',
  'sso',
  'settings',
] as const;
const ACCOUNT_TABS = ['account', 'security', 'sessions', 'tokens', 'usage'] as const;
const SITE_TABS = [
  'organizations',
  'start',
  'people',
  'roles',
  'sso',
  'mail',
  'mirror',
  'backups',
  'licence',
  'data',
] as const;
const PLUGIN_TABS = ['overview', 'use', 'capabilities', 'scan', 'updates', 'configuration', 'log'] as const;
const MARKET_TABS = ['overview', 'versions', 'reviews', 'trust'] as const;
export type ProjectTab = (typeof PROJECT_TABS)[number];
/** `retention` is below `audit`. */
export type OrganizationTab = (typeof ORGANIZATION_TABS)[number] | 'retention';
export type AccountTab = (typeof ACCOUNT_TABS)[number];
export type SiteTab = (typeof SITE_TABS)[number];
export type PluginTab = (typeof PLUGIN_TABS)[number];
export type MarketTab = (typeof MARKET_TABS)[number];
export type Route =
  | { page: 'projects' }
  | { page: 'new-project' }
  | { page: 'project'; id: number; tab: ProjectTab; fileId: number | null; runId: number | null }
  | { page: 'audit' }
  | { page: 'notices' }
  | { page: 'privacy' }
  | { page: 'plugins' }
  | { page: 'plugin'; slug: string; tab: PluginTab }
  | { page: 'marketplace' }
  | { page: 'market-plugin'; slug: string; tab: MarketTab }
  | { page: 'collections' }
  | { page: 'collection'; id: number }
  | { page: 'submissions' }
  | { page: 'submission'; id: number }
  | { page: 'sign-in' }
  | { page: 'forgot' }
  | { page: 'reset' }
  | { page: 'register' }
  | { page: 'setup' }
  | { page: 'invitation' }
  | { page: 'models' }
  | { page: 'account'; tab: AccountTab }
  | { page: 'organizations' }
  | {
      page: 'organization';
      id: number;
      tab: OrganizationTab;
      teamId: number | null;
      personId: number | null;
      plugin: { slug: string; tab: PluginTab } | null;
      providerId: number | null;
    }
  | { page: 'site'; tab: SiteTab; personId: number | null; providerId: number | null }
  | { page: 'not-found' };

const NOWHERE: Route = { page: 'not-found' };
const ID = /^[1-9]\d{0,18}$/;
const SLUG = /^[a-z0-9][a-z0-9-]{0,63}$/;
const idOf = (part: string | undefined): number | null =>
  part !== undefined && ID.test(part) ? Number(part) : null;

/** The tab that the rest of an address names; the first one stands for no rest and has no address of its own. */
function tabOf<Tab extends string>(tabs: readonly [Tab, ...Tab[]], parts: string[]): Tab | null {
  const [first, ...others] = tabs;
  if (parts.length === 0) return first;
  return parts.length === 1 ? (others.find((tab) => tab === parts[0]) ?? null) : null;
}

const PLAIN: Record<string, Route> = {
  '': { page: 'projects' },
  projects: { page: 'projects' },
  'projects/new': { page: 'new-project' },
  audit: { page: 'audit' },
  notices: { page: 'notices' },
  privacy: { page: 'privacy' },
  plugins: { page: 'plugins' },
  marketplace: { page: 'marketplace' },
  'marketplace/collections': { page: 'collections' },
  'marketplace/submissions': { page: 'submissions' },
  'sign-in': { page: 'sign-in' },
  forgot: { page: 'forgot' },
  reset: { page: 'reset' },
  register: { page: 'register' },
  setup: { page: 'setup' },
  invitation: { page: 'invitation' },
  models: { page: 'models' },
  organizations: { page: 'organizations' },
};

function projectRoute(id: number, parts: string[]): Route {
  const base = { page: 'project' as const, id, fileId: null, runId: null };
  const [tab, item, ...rest] = parts;
  const itemId = idOf(item);
  if (itemId !== null && rest.length === 0) {
    if (tab === 'files') return { ...base, tab, fileId: itemId };
    return tab === 'runs' ? { ...base, tab: 'run', runId: itemId } : NOWHERE;
  }
  const named = tabOf(PROJECT_TABS, parts);
  return named ? { ...base, tab: named } : NOWHERE;
}

function organizationRoute(id: number, parts: string[]): Route {
  const base = {
    page: 'organization' as const,
    id,
    teamId: null,
    personId: null,
    plugin: null,
    providerId: null,
  };
  const slug = parts[1];
  if (parts[0] === 'plugins' && slug !== undefined && SLUG.test(slug)) {
    const tab = tabOf(PLUGIN_TABS, parts.slice(2));
    return tab ? { ...base, tab: 'plugins', plugin: { slug, tab } } : NOWHERE;
  }
  const itemId = idOf(parts[1]);
  if (parts.length === 2 && itemId !== null) {
    if (parts[0] === 'people') return { ...base, tab: 'people', personId: itemId };
    if (parts[0] === 'sso') return { ...base, tab: 'sso', providerId: itemId };
    return parts[0] === 'teams' ? { ...base, tab: 'teams', teamId: itemId } : NOWHERE;
  }
  if (parts.join('/') === 'audit/retention') return { ...base, tab: 'retention' };
  const tab = tabOf(ORGANIZATION_TABS, parts);
  return tab ? { ...base, tab } : NOWHERE;
}

function siteRoute(parts: string[]): Route {
  const base = { page: 'site' as const, personId: null, providerId: null };
  const itemId = idOf(parts[1]);
  if (parts.length === 2 && itemId !== null) {
    if (parts[0] === 'people') return { ...base, tab: 'people', personId: itemId };
    return parts[0] === 'sso' ? { ...base, tab: 'sso', providerId: itemId } : NOWHERE;
  }
  const tab = tabOf(SITE_TABS, parts);
  return tab ? { ...base, tab } : NOWHERE;
}

function marketRoute(second: string | undefined, rest: string[]): Route {
  const id = idOf(rest[0]);
  // No plugin has one of these as its short name.
  if (second === 'collections' || second === 'submissions') {
    const page = second === 'collections' ? 'collection' : 'submission';
    return rest.length === 1 && id !== null ? { page, id } : NOWHERE;
  }
  if (second === undefined || !SLUG.test(second)) return NOWHERE;
  const tab = tabOf(MARKET_TABS, rest);
  return tab ? { page: 'market-plugin', slug: second, tab } : NOWHERE;
}

export function match(path: string): Route {
  const parts = path.split('/').filter((part) => part !== '');
  const plain = PLAIN[parts.join('/')];
  if (plain) return plain;
  const [noun, second, ...rest] = parts;
  if (noun === 'account') {
    const tab = tabOf(ACCOUNT_TABS, parts.slice(1));
    return tab ? { page: 'account', tab } : NOWHERE;
  }
  if (noun === 'site') return siteRoute(parts.slice(1));
  if (noun === 'plugins' && second !== undefined && SLUG.test(second)) {
    const tab = tabOf(PLUGIN_TABS, rest);
    return tab ? { page: 'plugin', slug: second, tab } : NOWHERE;
  }
  if (noun === 'marketplace') return marketRoute(second, rest);
  const id = idOf(second);
  if (id !== null && noun === 'projects') return projectRoute(id, rest);
  if (id !== null && noun === 'organizations') return organizationRoute(id, rest);
  return NOWHERE;
}
