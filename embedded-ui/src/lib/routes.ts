// Which page an address names. Pure, so that every address has a test.

export type ProjectTab = 'run' | 'files' | 'findings' | 'runs' | 'settings';
export type Route =
  | { page: 'projects' }
  | { page: 'new-project' }
  | { page: 'project'; id: number; tab: ProjectTab; fileId: number | null; runId: number | null }
  | { page: 'audit' }
  | { page: 'plugins' }
  | { page: 'models' }
  | { page: 'tokens' }
  | { page: 'organizations' }
  | { page: 'organization'; id: number }
  | { page: 'not-found' };

const ID = /^[1-9]\d{0,18}$/;
const idOf = (part: string | undefined): number | null =>
  part !== undefined && ID.test(part) ? Number(part) : null;

const PLAIN: Record<string, Route> = {
  '': { page: 'projects' },
  projects: { page: 'projects' },
  'projects/new': { page: 'new-project' },
  audit: { page: 'audit' },
  plugins: { page: 'plugins' },
  models: { page: 'models' },
  tokens: { page: 'tokens' },
  organizations: { page: 'organizations' },
};

function projectRoute(id: number, parts: string[]): Route {
  const [tab, item, ...rest] = parts;
  const none: Route = { page: 'not-found' };
  if (rest.length > 0) return none;
  const itemId = idOf(item);
  if (item !== undefined && itemId === null) return none;
  const base = { page: 'project' as const, id, fileId: null, runId: null };
  if (tab === undefined) return { ...base, tab: 'run' };
  if (tab === 'files') return { ...base, tab, fileId: itemId };
  if (tab === 'runs' && itemId !== null) return { ...base, tab: 'run', runId: itemId };
  if (item !== undefined) return none;
  if (tab === 'runs' || tab === 'findings' || tab === 'settings') return { ...base, tab };
  return none;
}

export function match(path: string): Route {
  const parts = path.split('/').filter((part) => part !== '');
  const plain = PLAIN[parts.join('/')];
  if (plain) return plain;
  const id = idOf(parts[1]);
  if (id !== null && parts[0] === 'projects') return projectRoute(id, parts.slice(2));
  if (id !== null && parts[0] === 'organizations' && parts.length === 2) return { page: 'organization', id };
  return { page: 'not-found' };
}
