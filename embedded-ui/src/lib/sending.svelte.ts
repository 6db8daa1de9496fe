// A file on its way to the server: how far it is, what went wrong, and a way to stop it. Leaving the page stops it.
import { onDestroy } from 'svelte';
import { asApiError, type ApiError } from './api/problem';
import { upload } from './upload';

export class SentFile {
  /** What was picked. */
  file = $state.raw<File | null>(null);
  /** 0 to 1 while it is under way. */
  share = $state<number | null>(null);
  error = $state<ApiError | null>(null);
  #stop = new AbortController();

  constructor() {
    onDestroy(() => this.stop());
  }

  stop = () => this.#stop.abort();

  /** Sends the file, or a part of it; the reply's JSON. */
  to = <T>(address: string, part: Blob | null | undefined = this.file): Promise<T> =>
    upload<T>(address, part ?? new Blob(), (sent) => (this.share = sent), this.#stop.signal);

  /** Does what a form is for once it is submitted, one at a time, and keeps what went wrong. */
  during = async (submitted: SubmitEvent, work: () => Promise<void>): Promise<void> => {
    submitted.preventDefault();
    if (!this.file || this.share !== null) return;
    this.error = null;
    this.share = 0;
    this.#stop = new AbortController();
    try {
      await work();
    } catch (cause) {
      this.error = asApiError(cause);
    }
    this.share = null;
  };
}
