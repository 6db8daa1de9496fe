// One thing read from the server: its value, whether it is under way, what went wrong, and a way to try again.
// A newer read always wins over an older one that answers late.
import { asApiError, type ApiError } from './api/problem';

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  error = $state<ApiError | null>(null);
  busy = $state(true);
  #turn = 0;

  constructor(private readonly read: () => Promise<T>) {}

  /** Reads (again). A value already shown stays until the new one is there. */
  load = async (): Promise<void> => {
    const turn = ++this.#turn;
    this.busy = true;
    try {
      const value = await this.read();
      if (turn !== this.#turn) return;
      this.value = value;
      this.error = null;
    } catch (cause) {
      if (turn !== this.#turn) return;
      this.error = asApiError(cause);
    }
    this.busy = false;
  };
}
