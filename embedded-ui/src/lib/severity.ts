// The order of severities, worst first.
import type { Severity, SeverityCounts } from './api/types';

export const SEVERITIES: Severity[] = ['critical', 'high', 'medium', 'low'];

export function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}

export function total(counts: SeverityCounts): number {
  return SEVERITIES.reduce((sum, severity) => sum + counts[severity], 0);
}

export function worst(counts: SeverityCounts): Severity | null {
  return SEVERITIES.find((severity) => counts[severity] > 0) ?? null;
}
