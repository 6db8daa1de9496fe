// What a submission went through, and what may become of it.
import type { MarketSubmission, SubmissionStatus } from '../../lib/api/types';
import { words, type Tone } from '../../lib/format';

export const STATES: Record<SubmissionStatus, { label: string; tone: Tone }> = {
  failed: { label: 'Checks failed', tone: 'bad' },
  in_review: { label: 'In review', tone: 'active' },
  rejected: { label: 'Rejected', tone: 'bad' },
  withdrawn: { label: 'Withdrawn', tone: 'neutral' },
  published: { label: 'Published', tone: 'good' },
  deprecated: { label: 'Deprecated', tone: 'warn' },
  yanked: { label: 'Yanked', tone: 'bad' },
};

const CHECKS: Record<string, string> = {
  readme: 'README',
  license: 'Licence',
  sums: 'Sums of its files',
  loads: 'Loading',
};

export const checkName = (code: string): string => CHECKS[code] ?? words(code);

/** Whether it is, or was, in the marketplace. */
export const isLive = (status: SubmissionStatus): boolean =>
  ['published', 'deprecated', 'yanked'].includes(status);

export type Moment = { label: string; tone: Tone; at: string | null; by: string | null };

type Told = Pick<
  MarketSubmission,
  'status' | 'checks' | 'mine' | 'submitted_at' | 'submitted_by' | 'decided_at' | 'decided_by'
>;

export const submitter = ({ mine, submitted_by }: Pick<Told, 'mine' | 'submitted_by'>): string | null =>
  mine ? 'You' : submitted_by;

/** From the first moment to the last. Of a version that was taken back later, when it was published is not told. */
export function moments(submission: Told): Moment[] {
  const { status, checks, submitted_at, decided_at, decided_by } = submission;
  const untold = { at: null, by: null };
  const failed = checks.filter(({ ok }) => !ok).length;
  const begun: Moment[] = [
    { label: 'Submitted', tone: 'good', at: submitted_at, by: submitter(submission) },
    failed > 0
      ? { label: `${failed} of ${checks.length} checks failed`, tone: 'bad', ...untold }
      : { label: `${checks.length} checks passed`, tone: 'good', ...untold },
  ];
  if (status === 'failed') return begun;
  if (status === 'in_review') return [...begun, { ...STATES.in_review, ...untold }];
  const before: Moment[] = ['deprecated', 'yanked'].includes(status)
    ? [{ ...STATES.published, ...untold }]
    : [];
  return [
    ...begun,
    { ...STATES.in_review, tone: 'good', ...untold },
    ...before,
    { ...STATES[status], at: decided_at, by: decided_by },
  ];
}

export type Decision = Exclude<SubmissionStatus, 'failed' | 'in_review'>;

/** What the reader may make of it; `manages`: whether they manage the site's plugins. The server decides all the same. */
export function decisions({ status, mine }: Pick<Told, 'status' | 'mine'>, manages: boolean): Decision[] {
  if (status === 'in_review') return mine ? ['withdrawn'] : manages ? ['published', 'rejected'] : [];
  if (!mine && !manages) return [];
  if (status === 'published') return ['deprecated', 'yanked'];
  if (status === 'deprecated') return ['published', 'yanked'];
  return status === 'yanked' ? ['published'] : [];
}
