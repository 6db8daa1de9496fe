// Sends a file with word of how far it is: the browser's fetch tells nothing of what was sent.
import { ApiError, errorOf, UNREACHABLE } from './api/problem';

/** The reply's JSON. `progress` is told the share that was sent, 0 to 1; `stop` gives the sending up. */
export function upload<T>(
  address: string,
  file: Blob,
  progress: (share: number) => void,
  stop: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', address);
    request.setRequestHeader('content-type', 'application/octet-stream');
    request.upload.onprogress = ({ loaded, total }) => progress(total > 0 ? loaded / total : 0);
    request.onerror = () => reject(new ApiError(0, 'unreachable', UNREACHABLE));
    request.onabort = () =>
      reject(new ApiError(0, 'stopped', 'The upload was stopped; nothing of it was kept.'));
    request.onload = () => {
      let body: unknown = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        // What is no JSON is told by its status.
      }
      if (request.status < 300) return resolve(body as T);
      const headers = new Headers();
      for (const name of ['retry-after', 'x-request-id']) {
        const value = request.getResponseHeader(name);
        if (value !== null) headers.set(name, value);
      }
      reject(errorOf(new Response(null, { status: request.status, headers }), body));
    };
    stop.addEventListener('abort', () => request.abort());
    request.send(file);
  });
}
