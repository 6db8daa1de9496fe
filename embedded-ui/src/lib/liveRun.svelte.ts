// A run as it happens: the state of the page, fed by the event stream. Events are folded in once a frame, so
// that a fast model does not make the page redraw for every token.
import { RunStream, type Connection } from './api/events';
import type { Run, RunEvent } from './api/types';
import { apply, startState, type RunState } from './runState';

export class LiveRun {
  state = $state.raw<RunState>() as RunState;
  connection = $state<Connection>('connecting');
  #waiting: RunEvent[] = [];
  #frame: ReturnType<typeof setTimeout> | undefined;
  #stream: RunStream;

  constructor(
    run: Run,
    private readonly onChange: (event: RunEvent) => void = () => undefined,
  ) {
    this.state = startState(run);
    this.#stream = new RunStream(
      run.id,
      (event) => this.#receive(event),
      (connection) => (this.connection = connection),
    );
  }

  /** Takes the reply of an action (pause, retry) and listens again if the stream had ended. */
  acted(run: Run): void {
    this.state = { ...this.state, run };
    this.#stream.reopen();
  }

  close(): void {
    clearTimeout(this.#frame);
    this.#stream.close();
  }

  #receive(event: RunEvent): void {
    this.#waiting.push(event);
    // A timer and not an animation frame: a hidden tab gets no frames and would collect events without end.
    this.#frame ??= setTimeout(() => this.#fold(), 50);
  }

  #fold(): void {
    this.#frame = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    let state = this.state;
    for (const event of waiting) state = apply(state, event);
    this.state = state;
    for (const event of waiting) this.onChange(event);
  }
}
