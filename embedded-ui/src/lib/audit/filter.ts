// What the audit log is searched for, as it stands in the address and as the server is asked.
import type { AuditAction } from '../api/types';

export const ACTIONS: AuditAction[] = [
  'create',
  'read',
  'update',
  'delete',
  'login',
  'logout',
  'permission_change',
  'export',
  'execute',
];

/** The names in the address, of the form's fields and of the API's parameters. Days stand for their first moment. */
export const FILTERS = [
  'organization_id',
  'q',
  'actor',
  'action',
  'success',
  'resource_type',
  'resource_id',
  'request_id',
  'from',
  'to',
] as const;

/** The first moment of a day, or of the day after it, in the reader's time zone; undefined for what is no day. */
function moment(day: string | null, after: number): string | undefined {
  const [year, month, date] =
    /^(\d{4})-(\d{2})-(\d{2})$/
      .exec(day ?? '')
      ?.slice(1)
      .map(Number) ?? [];
  if (!year || !month || !date) return undefined;
  return new Date(year, month - 1, date + after).toISOString();
}

/** The API's query for what the address says. A word that the API does not know is left out. */
export function filterOf(address: URLSearchParams, organizationId?: number) {
  const text = (name: string) => address.get(name) ?? undefined;
  const success = address.get('success');
  return {
    organization_id: organizationId ?? (Number(text('organization_id')) || undefined),
    q: text('q'),
    actor: text('actor'),
    action: ACTIONS.find((action) => action === text('action')),
    success: success === 'true' || success === 'false' ? success === 'true' : undefined,
    resource_type: text('resource_type'),
    resource_id: text('resource_id'),
    request_id: text('request_id'),
    from: moment(address.get('from'), 0),
    to: moment(address.get('to'), 1),
  };
}

/** Where an export of the same entries is. */
export function exportAddress(filter: ReturnType<typeof filterOf>, format: 'csv' | 'json'): string {
  const query = new URLSearchParams({ format });
  for (const [name, value] of Object.entries(filter)) {
    if (value !== undefined) query.set(name, String(value));
  }
  return `/api/audit/export?${query}`;
}

/** Where the zip for auditors is: of an organisation, or of the whole site. */
export function evidenceAddress(organizationId?: number): string {
  return organizationId === undefined ? '/api/evidence' : `/api/organizations/${organizationId}/evidence`;
}
