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

  async signIn(username: string, password: string): Promise<void> {
    await call(api.POST('/api/auth/login', { body: { username, password } }));
    await this.load();
  }

  async signOut(): Promise<void> {
    await call(api.POST('/api/auth/logout'));
    this.#forget();
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
