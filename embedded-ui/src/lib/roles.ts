// Roles that may be given.
import type { RoleInfo } from './api/types';
import { session } from './session.svelte';

/** Those that may be held in an organisation and hold no more than the reader does there, the least first. */
export function givable(roles: RoleInfo[], organizationId: number): RoleInfo[] {
  const mine = (role: RoleInfo) =>
    role.code !== 'super_admin' && role.permissions.every((code) => session.may(code, organizationId));
  return roles.filter(mine).sort((one, other) => one.permissions.length - other.permissions.length);
}
