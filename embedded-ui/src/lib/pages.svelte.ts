// A list of the server, read page by page: what was read so far, whether there is more, and what went wrong with
// the first page or with a later one. A newer first page wins over anything older that answers late.
import { asApiError, type ApiError } from './api/problem';
import type { List } from './api/types';

export class Paged<T, Page extends List<T> = List<T>> {
  /** Null until the first page is there. */
  items = $state.raw<T[] | null>(null);
  error = $state<ApiError | null>(null);
  moreError = $state<ApiError | null>(null);
  busy = $state(true);
  /** The page that was read last, for what a list says beside its items. */
  last = $state.raw<Page | null>(null);
  #cursor = $state.raw<string | null>(null);
  #turn = 0;

  /** `atLeast`: how many items are read before the list is shown, for lists that are sorted here. */
  constructor(
    private readonly read: (cursor: string | undefined) => Promise<Page>,
    private readonly atLeast = 1,
  ) {}

  get hasMore(): boolean {
    return this.#cursor !== null;
  }

  /** Reads (again) from the beginning. What is shown stays until the new page is there. */
  load = async (): Promise<void> => {
    const turn = ++this.#turn;
    this.busy = true;
    try {
      const items: T[] = [];
      let cursor: string | undefined;
      do {
        const page = await this.read(cursor);
        if (turn !== this.#turn) return;
        this.last = page;
        items.push(...page.items);
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined && items.length < this.atLeast);
      this.items = items;
      this.#cursor = cursor ?? null;
      this.error = this.moreError = null;
    } catch (cause) {
      if (turn !== this.#turn) return;
      this.error = asApiError(cause);
    }
    this.busy = false;
  };

  /** Reads the next page and puts it below. */
  more = async (): Promise<void> => {
    if (this.#cursor === null || this.busy) return;
    const turn = ++this.#turn;
    this.busy = true;
    try {
      const page = await this.read(this.#cursor);
      if (turn !== this.#turn) return;
      this.last = page;
      this.items = [...(this.items ?? []), ...page.items];
      this.#cursor = page.next_cursor ?? null;
      this.moreError = null;
    } catch (cause) {
      if (turn !== this.#turn) return;
      this.moreError = asApiError(cause);
    }
    this.busy = false;
  };

  /** Puts a changed item in the place of the one with the same key. */
  replace(item: T, key: (item: T) => unknown): void {
    this.items = (this.items ?? []).map((known) => (key(known) === key(item) ? item : known));
  }
}
