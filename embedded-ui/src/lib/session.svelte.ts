// Who is signed in. The cookie is the browser's; this holds only what `/api/auth/me` says about it.
import { api, call, onSignedOut } from './api/client';
import { asApiError, type ApiError } from './api/problem';
import type { Me } from './api/types';
import { use } from './passkeys';

class Session {
  state = $state<'loading' | 'out' | 'in' | 'error'>('loading');
  me = $state<Me | null>(null);
  error = $state<ApiError | null>(null);

  constructor() {
    onSignedOut(() => this.#forget());
  }

  async load(): Promise<void> {
    this.state = 'loading';
    try {
      this.me = await call(api.GET('/api/auth/me'));
      this.state = 'in';
    } catch (cause) {
      const error = asApiError(cause);
      if (error.status === 401) return;
      this.error = error;
      this.state = 'error';
    }
  }

  /** Reads again what the reader may do, after they changed something about it. */
  async refresh(): Promise<void> {
    this.me = await call(api.GET('/api/auth/me'));
  }

  async signIn(username: string, password: string, code?: string): Promise<void> {
    await call(api.POST('/api/auth/login', { body: { username, password, code: code ?? null } }));
    await this.load();
  }

  /** Signs in with a passkey; with `waiting`, once the reader takes one that the browser offers by itself. */
  async signInWithPasskey(waiting?: AbortSignal): Promise<void> {
    const { ticket, options } = await call(api.POST('/api/auth/passkeys/start'));
    const credential = await use(options, waiting);
    await call(api.POST('/api/auth/passkeys/finish', { body: { ticket, credential } }));
    await this.load();
  }

  async signOut(): Promise<void> {
    await call(api.POST('/api/auth/logout'));
    this.#forget();
  }

  /** Whether the person holds a permission over the whole site. */
  maySite(permission: string): boolean {
    return this.me?.site_permissions.includes(permission) ?? false;
  }

  /** Whether the person holds a permission over a whole organisation; without one, anywhere, be it in one team. */
  may(permission: string, organization?: number): boolean {
    if (this.maySite(permission)) return true;
    if (organization === undefined) return this.held(null).has(permission);
    return this.#organization(organization)?.permissions.includes(permission) ?? false;
  }

  /** Whether the person holds a permission for what belongs to a team; for what belongs to none, over the organisation. */
  mayIn(permission: string, organization: number, team: number | null): boolean {
    if (this.may(permission, organization)) return true;
    return this.me?.teams.find(({ id }) => id === team)?.permissions.includes(permission) ?? false;
  }

  /** Whether the person holds a permission over an organisation or in some team of it. */
  mayWithin(permission: string, organization: number): boolean {
    return this.may(permission, organization) || this.held(organization).has(permission);
  }

  /** Everything the person holds in an organisation and its teams; null: anywhere. */
  held(organization: number | null): Set<string> {
    const here = (id: number) => organization === null || id === organization;
    const places = [
      ...(this.me?.organizations ?? []).filter(({ id }) => here(id)),
      ...(this.me?.teams ?? []).filter(({ organization_id }) => here(organization_id)),
    ];
    return new Set([
      ...(this.me?.site_permissions ?? []),
      ...places.flatMap(({ permissions }) => permissions),
    ]);
  }

  organizationName(id: number | null): string {
    if (id === null) return 'Site';
    return this.#organization(id)?.name ?? `Organisation ${id}`;
  }

  teamName(id: number): string {
    return this.me?.teams.find((team) => team.id === id)?.name ?? `Team ${id}`;
  }

  #organization(id: number) {
    return this.me?.organizations.find((org) => org.id === id);
  }

  #forget(): void {
    this.me = null;
    this.state = 'out';
  }
}

export const session = new Session();
