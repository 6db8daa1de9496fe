// The event stream of one run. EventSource resumes by itself with Last-Event-ID; when the browser gives up
// (an HTTP error), the stream is opened again with `?after=` and a growing pause, until it is closed.
import type { Run, RunEvent } from './types';

export type Connection = 'connecting' | 'live' | 'reconnecting' | 'closed';

const NAMES = [
  'status',
  'stage',
  'file',
  'finding',
  'tokens',
  'message',
  'delta',
] as const satisfies RunEvent['event'][];
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;

export function isFinal(status: Run['status']): boolean {
  return status === 'completed' || status === 'failed' || status === 'canceled';
}

export class RunStream {
  #source: EventSource | null = null;
  #lastId = 0;
  #pause = FIRST_PAUSE_MS;
  #ended = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly runId: number,
    private readonly onEvent: (event: RunEvent) => void,
    private readonly onConnection: (connection: Connection) => void,
  ) {
    this.#open('connecting');
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
    this.onConnection('closed');
  }

  #open(connection: Connection): void {
    this.onConnection(connection);
    const after = this.#lastId > 0 ? `?after=${this.#lastId}` : '';
    const source = new EventSource(`/api/runs/${this.runId}/events${after}`);
    this.#source = source;
    source.onopen = () => {
      this.#pause = FIRST_PAUSE_MS;
      this.onConnection('live');
    };
    source.onerror = () => this.#failed(source);
    for (const name of NAMES) {
      source.addEventListener(name, (message: MessageEvent<string>) => this.#receive(name, message));
    }
  }

  /** Opens a stream that has ended again, after the last event it saw (a stage was retried). */
  reopen(): void {
    if (this.#source !== null) return;
    this.#ended = false;
    this.#open('connecting');
  }

  #failed(source: EventSource): void {
    if (this.#source !== source) return;
    if (this.#ended) {
      this.close();
      return;
    }
    this.onConnection('reconnecting');
    if (source.readyState !== EventSource.CLOSED) return;
    this.#timer = setTimeout(() => this.#open('reconnecting'), this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }

  #receive(name: RunEvent['event'], message: MessageEvent<string>): void {
    const id = Number.parseInt(message.lastEventId, 10);
    if (name !== 'delta' && Number.isFinite(id)) {
      if (id <= this.#lastId) return;
      this.#lastId = id;
    }
    const event = { event: name, data: JSON.parse(message.data) } as RunEvent;
    this.onEvent(event);
    // A retried run holds an older final status too, so the server's end of stream decides, not the event.
    if (event.event === 'status') this.#ended = isFinal(event.data.status);
  }
}
