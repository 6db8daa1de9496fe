// What changed between two records of the audit log, field by field.

export type FieldChange = { field: string; before: string | null; after: string | null; changed: boolean };

const show = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value, null, 2));

export type Fields = Record<string, unknown> | null;

export function fieldChanges(before: Fields, after: Fields): FieldChange[] {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return names.map((field) => {
    const old = before && field in before ? show(before[field]) : null;
    const next = after && field in after ? show(after[field]) : null;
    return { field, before: old, after: next, changed: old !== next };
  });
}
