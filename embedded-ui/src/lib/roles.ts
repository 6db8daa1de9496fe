// Roles that may be given.
import type { RoleInfo } from './api/types';

/** Those that may be held in an organisation or team and hold no more than the reader does there, the least first. */
export function givable(roles: RoleInfo[], holds: (code: string) => boolean): RoleInfo[] {
  const mine = (role: RoleInfo) => role.code !== 'super_admin' && role.permissions.every(holds);
  return roles.filter(mine).sort((one, other) => one.permissions.length - other.permissions.length);
}
