// What a token may be held to: permissions grouped by what they are about, and sets that are often wanted.
import type { PermissionInfo } from './api/types';

/** What changes nothing. */
const READING = /\.(read|view)$/;

export type Preset = 'all' | 'reading' | 'models' | 'own';
/** A preset, and the permissions that were chosen one by one. */
export type Choice = { preset: Preset; own: string[] };

/** The permissions of a choice, of those that are held; null: no limit. */
export function scopesOf({ preset, own }: Choice, held: ReadonlySet<string>): string[] | null {
  if (preset === 'all') return null;
  if (preset === 'reading') return [...held].filter((code) => READING.test(code));
  if (preset === 'models') return [...held].filter((code) => code === 'model.use');
  return own.filter((code) => held.has(code));
}

/** Permissions by their resource, in the order of the catalogue. */
export function byResource(permissions: readonly PermissionInfo[]): [string, PermissionInfo[]][] {
  const groups = new Map<string, PermissionInfo[]>();
  for (const permission of permissions) {
    const resource = permission.code.split('.')[0] ?? '';
    groups.set(resource, [...(groups.get(resource) ?? []), permission]);
  }
  return [...groups];
}
