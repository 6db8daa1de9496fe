// Words and numbers for people: stage and role names, sizes, durations, times in the reader's locale.
import type { ProjectStatus, RunStatus, Stage, StageStatus } from './api/types';

const STAGE_NAMES: Record<Stage, string> = {
  requirement_analysis: 'Requirement analysis',
  architecture_design: 'Architecture design',
  ui_design: 'UI design',
  development: 'Development',
  testing: 'Testing',
  qa_review: 'Quality review',
};

const ROLE_NAMES: Record<string, string> = {
  project_manager: 'Project manager',
  requirements_analyst: 'Requirements analyst',
  architect: 'Architect',
  uxui_designer: 'UX/UI designer',
  developer: 'Developer',
  test_engineer: 'Test engineer',
  quality_expert: 'Quality expert',
};

/** A stable word as a label: `permission_change` becomes `Permission change`. */
export function words(name: string): string {
  const text = name.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function stageName(stage: Stage): string {
  return STAGE_NAMES[stage] ?? words(stage);
}

export function roleName(role: string): string {
  return ROLE_NAMES[role] ?? words(role);
}

export type Tone = 'neutral' | 'active' | 'good' | 'warn' | 'bad';

const TONES: Record<ProjectStatus | RunStatus | StageStatus, Tone> = {
  pending: 'neutral',
  queued: 'neutral',
  skipped: 'neutral',
  canceled: 'neutral',
  planning: 'active',
  developing: 'active',
  testing: 'active',
  running: 'active',
  paused: 'warn',
  completed: 'good',
  done: 'good',
  failed: 'bad',
};

export function toneOf(status: string): Tone {
  return TONES[status as RunStatus] ?? 'neutral';
}

export function number(value: number): string {
  return new Intl.NumberFormat().format(value);
}

export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  const power = Math.min(4, Math.floor(Math.log2(value) / 10));
  return `${(value / 1024 ** power).toFixed(1)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}

export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Time between two instants of the contract; null while it has not started. */
export function between(start: string | null, end: string | null, now: number): string | null {
  if (start === null) return null;
  return duration((end === null ? now : Date.parse(end)) - Date.parse(start));
}

export function dateTime(at: string): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' }).format(
    new Date(at),
  );
}

export function ago(at: string, now: number = Date.now()): string {
  const seconds = Math.round((Date.parse(at) - now) / 1000);
  const format = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });
  if (Math.abs(seconds) < 60) return 'just now';
  if (Math.abs(seconds) < 3600) return format.format(Math.round(seconds / 60), 'minute');
  if (Math.abs(seconds) < 86400) return format.format(Math.round(seconds / 3600), 'hour');
  if (Math.abs(seconds) < 30 * 86400) return format.format(Math.round(seconds / 86400), 'day');
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' }).format(new Date(at));
}

/** The share of a limit that is taken, 0 to 1; null when there is no limit. */
export function share(used: number, limit: number | null): number | null {
  if (limit === null) return null;
  if (limit <= 0) return 1;
  return Math.min(1, used / limit);
}
