// What was used: the question as it stands in the address and as the server is asked, and a day's or a week's sums for
// a chart, also of those on which nothing was used.
import type { UsageGroup, UsageReport, UsageRow } from './api/types';
import { RESOURCES } from './quotas';

export const SPANS: Record<number, string> = {
  7: 'Last 7 days',
  30: 'Last 30 days',
  90: 'Last 90 days',
  365: 'Last 365 days',
};
const USUAL = 30;
/** With more days than these a bar is a week. */
const MOST_BARS = 100;
const DAY_MS = 86_400_000;

type Resource = UsageReport['resource'];
export type Asked = {
  resource: Resource;
  days: number | undefined;
  from: string | undefined;
  to: string | undefined;
};

/** What the address asks for. A word that nobody knows is left out. */
export function askedIn(address: URLSearchParams): Asked {
  const resource = Object.keys(RESOURCES).find((name) => name === address.get('resource'));
  const day = (name: string) =>
    /^\d{4}-\d{2}-\d{2}$/.test(address.get(name) ?? '') ? (address.get(name) ?? undefined) : undefined;
  const [from, to] = [day('from'), day('to')];
  const days = Number(address.get('days')) || USUAL;
  const span = from === undefined ? (days in SPANS ? days : USUAL) : undefined;
  return { resource: (resource ?? 'llm_tokens') as Resource, days: span, from, to };
}

/** Where the same is as CSV. */
export function csvAddress(
  organization: number,
  asked: Asked,
  group: UsageGroup,
  whose: { user_id: number | undefined; team_id: number | undefined },
): string {
  const query = new URLSearchParams({ group_by: group });
  for (const [name, value] of Object.entries({ ...asked, ...whose })) {
    if (value !== undefined) query.set(name, String(value));
  }
  return `/api/organizations/${organization}/usage.csv?${query}`;
}

const name = (day: number): string => new Date(day).toISOString().slice(0, 10);

/** The sums of a report by day, in order and without gaps. */
export function everyDay(report: UsageReport): UsageRow[] {
  const known = new Map(report.items.map((row) => [row.key, row]));
  const rows: UsageRow[] = [];
  for (let day = Date.parse(report.from); day <= Date.parse(report.to); day += DAY_MS) {
    const key = name(day);
    rows.push(known.get(key) ?? { key, name: null, amount: 0, records: 0 });
  }
  return rows;
}

/** Days as bars; weeks, by their first day, where the days are too many. */
export function bars(days: UsageRow[]): { weekly: boolean; bars: { name: string; value: number }[] } {
  if (days.length <= MOST_BARS) {
    return { weekly: false, bars: days.map(({ key, amount }) => ({ name: key, value: amount })) };
  }
  const weeks: { name: string; value: number }[] = [];
  for (let at = 0; at < days.length; at += 7) {
    const week = days.slice(at, at + 7);
    weeks.push({ name: week[0]?.key ?? '', value: week.reduce((sum, { amount }) => sum + amount, 0) });
  }
  return { weekly: true, bars: weeks };
}

/** `2026-11-26` as `26 Nov`, in the reader's words. The day is the site's, whatever the reader's time zone. */
export function dayName(day: string, year = false): string {
  const style: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short', timeZone: 'UTC' };
  if (year) style.year = 'numeric';
  return new Intl.DateTimeFormat(undefined, style).format(new Date(day));
}

/** Whether a report tells anything apart: a model, project or person that is named. */
export const tellsApart = (report: UsageReport): boolean =>
  report.items.some(({ key }) => key !== '' && key !== '0');
