// Words and numbers of quotas: what is limited, in which unit, how often it begins anew, and whose use it is.
import type { Quota } from './api/types';
import { bytes, dateTime, number } from './format';

export const RESOURCES: Record<Quota['resource'], string> = {
  projects: 'Projects',
  llm_tokens: 'Model tokens',
  api_calls: 'API calls',
  storage: 'Storage',
  team_members: 'People',
};

export const PERIODS: Record<Quota['period'], string> = {
  none: 'no period',
  daily: 'a day',
  weekly: 'a week',
  monthly: 'a month',
  yearly: 'a year',
};

export const MODES: Record<Quota['mode'], { name: string; means: string }> = {
  hard: { name: 'Hard', means: 'What passes the limit is refused.' },
  soft: { name: 'Soft', means: 'Administrators are told; nothing is refused.' },
  shadow: { name: 'Shadow', means: 'What would have been refused is only counted.' },
};

/** Storage and people are what exists; they count for ever. */
export const takesPeriod = (resource: Quota['resource']): boolean =>
  resource !== 'storage' && resource !== 'team_members';

export const amount = (resource: Quota['resource'], value: number): string =>
  resource === 'storage' ? bytes(value) : number(value);

/** `Model tokens a month`, `Storage`. */
export function quotaName({ resource, period }: Pick<Quota, 'resource' | 'period'>): string {
  return period === 'none' ? RESOURCES[resource] : `${RESOURCES[resource]} ${PERIODS[period]}`;
}

/** What a limit does and when it begins anew, in a line. */
export function quotaFacts(quota: Quota): string {
  const facts = [
    `${MODES[quota.mode].name} limit`,
    quota.renews_at && `begins anew ${dateTime(quota.renews_at)}`,
    quota.requests_per_minute !== null && `${number(quota.requests_per_minute)} requests a minute`,
    quota.tokens_per_minute !== null && `${number(quota.tokens_per_minute)} tokens a minute`,
    quota.would_have_blocked > 0 && `would have refused ${amount(quota.resource, quota.would_have_blocked)}`,
  ];
  return `${facts.filter((fact) => typeof fact === 'string').join(', ')}.`;
}

/** Whether another limit counts now. */
export const overridden = (quota: Quota, now = Date.now()): boolean =>
  quota.override !== null && Date.parse(quota.override.until) > now;

/** Whether the least warning was reached. */
export const near = ({ effective_limit, used, reserved, warning_thresholds }: Quota): boolean =>
  effective_limit !== null &&
  (used + reserved) * 100 >= effective_limit * Math.min(100, ...warning_thresholds);
