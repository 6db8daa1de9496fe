// What went wrong with a request, in the words of the server's problem+json reply (RFC 9457).

export type Problem = {
  title?: string;
  status?: number;
  detail?: string;
  code?: string;
  field?: string;
  request_id?: string;
};

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 when no reply arrived at all. */
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly field: string | null = null,
    readonly requestId: string | null = null,
    /** Seconds the server asks to wait before the next try. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
    this.name = 'ApiError';
  }
}

export const UNREACHABLE =
  'The server could not be reached. Check that it is running and that the network is up, then try again.';

/** Builds the error of a reply; a body that is no problem+json (a proxy's page) is named, never shown. */
export function errorOf(response: Response, body: unknown): ApiError {
  const problem = typeof body === 'object' && body !== null ? (body as Problem) : {};
  const detail =
    problem.detail ?? `The server answered ${response.status} without an explanation. Try again in a moment.`;
  const wait = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
  return new ApiError(
    response.status,
    problem.code ?? 'unknown',
    detail,
    problem.field ?? null,
    problem.request_id ?? response.headers.get('x-request-id'),
    Number.isFinite(wait) ? wait : null,
  );
}

/** Any thrown value as an ApiError, so that every page shows errors the same way. */
export function asApiError(cause: unknown): ApiError {
  if (cause instanceof ApiError) return cause;
  if (cause instanceof TypeError) return new ApiError(0, 'unreachable', UNREACHABLE);
  return new ApiError(0, 'unknown', cause instanceof Error ? cause.message : String(cause));
}
