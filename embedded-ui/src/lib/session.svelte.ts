// Who is signed in. The cookie is the browser's; this holds only what `/api/auth/me` says about it.
import { api, call, onSignedOut } from './api/client';
import { asApiError, type ApiError } from './api/problem';
import type { Me } from './api/types';

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

  async signIn(username: string, password: string): Promise<void> {
    await call(api.POST('/api/auth/login', { body: { username, password } }));
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

  /** Whether the person holds a permission in an organisation; without one, anywhere. */
  may(permission: string, organization?: number): boolean {
    if (this.maySite(permission)) return true;
    const mine = this.me?.organizations ?? [];
    return mine.some(
      (org) =>
        (organization === undefined || org.id === organization) && org.permissions.includes(permission),
    );
  }

  organizationName(id: number | null): string {
    if (id === null) return 'Site';
    return this.me?.organizations.find((org) => org.id === id)?.name ?? `Organisation ${id}`;
  }

  #forget(): void {
    this.me = null;
    this.state = 'out';
  }
}

export const session = new Session();
