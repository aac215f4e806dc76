/** Parts of files on web servers. */
import { UserError } from '../../base/errors.js';
import type { FetchRange } from '../../block/http.js';

const TIMEOUT_MS = 30_000;

export const fetchRange: FetchRange = async (url, offset, length) => {
  const fail = (why: string): never => {
    throw new UserError(`'${url}': ${why}`);
  };
  let response: Response;
  try {
    response = await fetch(url, {
      headers: { range: `bytes=${offset}-${offset + length - 1}`, 'accept-encoding': 'identity' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    const cause =
      error instanceof Error ? (error.cause instanceof Error ? error.cause.message : error.message) : String(error);
    return fail(cause);
  }
  if (response.status !== 206) {
    await response.body?.cancel();
    return fail(response.ok ? 'the server gives no parts of the file' : `the server answers ${response.status}`);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
  return {
    total: total === undefined ? undefined : Number(total),
    version: response.headers.get('etag') ?? response.headers.get('last-modified') ?? '',
    bytes,
  };
};
