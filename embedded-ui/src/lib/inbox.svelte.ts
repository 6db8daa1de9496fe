// How many notices wait for the reader: asked for at the start, after every move and each minute while the page is
// looked at. A failure is silent here; the page of notices says it.
import { api, call } from './api/client';

const AGAIN_MS = 60_000;

class Inbox {
  unread = $state(0);

  read = async (): Promise<void> => {
    try {
      this.unread = (await call(api.GET('/api/notices', { params: { query: { limit: 1 } } }))).unread;
    } catch {
      // The count stays as it was.
    }
  };

  /** Keeps the count up to date until the returned function is called. */
  follow(): () => void {
    const timer = setInterval(() => {
      if (!document.hidden) void this.read();
    }, AGAIN_MS);
    return () => clearInterval(timer);
  }
}

export const inbox = new Inbox();
