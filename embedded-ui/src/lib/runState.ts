// What the page knows about a run: one pure function folds each event of the stream into it. No network,
// no framework; bounded, because a run may talk for hours.
import type { Level, ProjectFile, Quota, Run, RunEvent, Severity, Stage } from './api/types';

export type FileRow = { file: ProjectFile; role: string; findings: number; worst: Severity | null };
export type Message = {
  key: number;
  role: string;
  level: Level;
  text: string;
  at: string;
};
/** Milliseconds since the epoch, tokens used by then. */
export type TokenPoint = [number, number];

export type RunState = {
  run: Run;
  files: FileRow[];
  messages: Message[];
  points: TokenPoint[];
  quota: Quota | null;
  /** The text of each stage as it was written, as far as this page saw it. */
  text: Partial<Record<Stage, string>>;
  messageCount: number;
};

export const TEXT_KEPT = 60_000;
export const MESSAGES_KEPT = 300;
export const POINTS_KEPT = 600;

export function startState(run: Run): RunState {
  return { run, files: [], messages: [], points: [], quota: null, text: {}, messageCount: 0 };
}

/** The stage being worked on; null when the run has left its last stage. */
export function currentStage(run: Run): Stage | null {
  return run.stage === 'completed' ? null : run.stage;
}

function withText(state: RunState, text: string): RunState {
  const stage = currentStage(state.run);
  if (stage === null) return state;
  const whole = (state.text[stage] ?? '') + text;
  return { ...state, text: { ...state.text, [stage]: whole.slice(-TEXT_KEPT) } };
}

function withFile(state: RunState, file: ProjectFile, role: string): RunState {
  const known = state.files.find((row) => row.file.id === file.id);
  const row: FileRow = { file, role, findings: known?.findings ?? 0, worst: known?.worst ?? null };
  return { ...state, files: [...state.files.filter((other) => other.file.id !== file.id), row] };
}

/** Halves the resolution when the list is full: a chart of a few hundred points loses nothing. */
function withPoint(points: TokenPoint[], point: TokenPoint): TokenPoint[] {
  const kept = points.length >= POINTS_KEPT ? points.filter((_, index) => index % 2 === 0) : points;
  const last = kept.at(-1);
  const at = last ? Math.max(last[0], point[0]) : point[0];
  return [...kept, [at, point[1]]];
}

/** Folds one event into the state. */
export function apply(state: RunState, event: RunEvent): RunState {
  switch (event.event) {
    case 'status':
      return { ...state, run: event.data };
    case 'stage': {
      const stage = event.data;
      const known = state.run.stages.some((other) => other.stage === stage.stage);
      const stages = known
        ? state.run.stages.map((other) => (other.stage === stage.stage ? stage : other))
        : [...state.run.stages, stage];
      const active = stage.status === 'running' ? stage.stage : state.run.stage;
      return { ...state, run: { ...state.run, stages, stage: active } };
    }
    case 'file':
      return withFile(state, event.data.file, event.data.role);
    case 'finding': {
      const { file_id, count, worst } = event.data;
      const files = state.files.map((row) =>
        row.file.id === file_id ? { ...row, findings: count, worst } : row,
      );
      return { ...state, files };
    }
    case 'tokens': {
      return {
        ...state,
        run: { ...state.run, tokens_used: event.data.tokens_used, token_budget: event.data.token_budget },
        quota: event.data.quota ?? state.quota,
        points: withPoint(state.points, [Date.parse(event.data.at), event.data.tokens_used]),
      };
    }
    case 'message': {
      const { role, level, text, at } = event.data;
      const message = { key: state.messageCount, role, level, text, at };
      const messages = [...state.messages, message].slice(-MESSAGES_KEPT);
      return { ...state, messages, messageCount: state.messageCount + 1 };
    }
    case 'delta':
      return withText(state, event.data.text);
  }
}
