/** A file that a server of plain files has at an address, for download.ts. */
import { asStored, isStoredPacked } from './as-stored.js';
import type { Checksum } from './checksum.js';
import { type Content, DownloadError, type RemoteFile, nothing } from './download.js';
import { passes } from './http-status.js';
import { type StallOptions, withStallLimit } from './stall-limit.js';

/** What is known of such a file beside its address. */
export interface HttpFileFacts extends Omit<RemoteFile, 'open'> {
  /** In place of Node's own. */
  readonly fetch?: typeof fetch | undefined;
}

/**
 * Asks for the rest of the file with Range. Where a version is known If-Range goes with it, so that a server whose file has
 * changed does not send the end of another one. A server that knows no ranges sends the whole file, of which the downloader
 * drops what it has.
 */
export const httpFile = (url: string, facts: HttpFileFacts): RemoteFile => ({
  ...facts,
  open: (from, signal) => request(url, facts, from, signal),
});

async function request(
  url: string,
  facts: HttpFileFacts,
  from: number,
  signal: AbortSignal,
): Promise<Content> {
  const { version } = facts;
  // What is packed on its way has no place in the file to go on from. With Range fetch says so itself.
  const headers: Record<string, string> = {};
  if (from === 0) headers['Accept-Encoding'] = 'identity';
  else {
    headers['Range'] = `bytes=${from}-`;
    // A weak tag says that two contents mean the same, not that their bytes are the same.
    if (version !== undefined && !version.startsWith('W/')) headers['If-Range'] = version;
  }
  const answer = await (facts.fetch ?? fetch)(url, { headers, signal });
  const response = isStored(url, facts, answer) ? await asStored(answer, headers, signal) : answer;
  const { status } = response;
  if (status === 416 && from > 0) {
    await response.body?.cancel();
    // Asked beyond the end: either all is there already, or what is there belongs to another file.
    const total = sizeIn(response);
    return total === from ? { from, total, bytes: nothing() } : request(url, facts, 0, signal);
  }
  if (status !== 200 && status !== 206) {
    await response.body?.cancel();
    throw refused(status, facts);
  }
  const now = versionIn(response.headers);
  if (version !== undefined && now !== undefined && now !== version) {
    await response.body?.cancel();
    // Servers behind one address may differ for a moment: another attempt may meet the one that was asked first.
    throw new Error('the server has another version of the file than it said before');
  }
  const start = status === 200 ? 0 : startIn(response);
  if (!(start <= from)) {
    await response.body?.cancel();
    throw new DownloadError(
      `${facts.name}: asked for bytes from ${from}, got Content-Range ` +
        `"${response.headers.get('content-range') ?? ''}". The server does not send where it broke off: ${facts.byHand}.`,
    );
  }
  const bytes = (response.body ?? nothing()) as AsyncIterable<Uint8Array>;
  return { from: start, total: sizeIn(response), bytes };
}

/** What a server says of a file. */
export interface DescribedFile {
  readonly size: number;
  readonly version: string | undefined;
  readonly checksum: Checksum | undefined;
}

/**
 * Size, version and checksum of a file, as its server says them.
 * @param facts - for messages
 * @throws DownloadError for an answer without the file or its size; the error of fetch if there is none
 */
export async function describeHttpFile(
  url: string,
  facts: Pick<HttpFileFacts, 'name' | 'byHand' | 'fetch'>,
  limits: StallOptions = {},
): Promise<DescribedFile> {
  // Asks for one byte: servers that sign their redirects for GET refuse HEAD.
  const headers = { Range: 'bytes=0-0' };
  const response = await withStallLimit(facts.fetch ?? fetch, limits)(url, { headers });
  await response.body?.cancel();
  if (response.status !== 200 && response.status !== 206) {
    const error = refused(response.status, facts);
    if (error instanceof DownloadError) throw error;
    throw new DownloadError(`${facts.name}: ${error.message}. Try again later.`, {
      status: response.status,
    });
  }
  const size = sizeIn(response, isStored(url, facts, response));
  if (size === undefined) {
    throw new DownloadError(
      `${facts.name}: the server does not say how large the file is, so that nobody could tell whether all of it came: ${facts.byHand}.`,
    );
  }
  return { size, version: versionIn(response.headers), checksum: checksumFrom(response.headers) };
}

/** Where Azure keeps files, as for GitHub's releases, it tells that of the whole. */
function checksumFrom(headers: Headers): Checksum | undefined {
  const md5 = headers.get('x-ms-blob-content-md5');
  return md5 === null
    ? undefined
    : { kind: 'md5', value: Buffer.from(md5, 'base64').toString('hex') };
}

const versionIn = (headers: Headers): string | undefined =>
  headers.get('etag') ?? headers.get('last-modified') ?? undefined;

/** What to do about statuses that do not pass. */
const advice: Readonly<Record<number, string>> = {
  401: 'It is not for everybody: ask its owner',
  403: 'It is not for everybody, or not for this network: ask its owner',
  404: 'Has the file moved? Look where it lies now',
  410: 'The file is gone: look where it lies now',
  451: 'The law keeps it from this place: look elsewhere',
};

/** A DownloadError if every attempt would get the same answer. */
function refused(status: number, { name, byHand }: Pick<HttpFileFacts, 'name' | 'byHand'>): Error {
  const said = `got HTTP status ${status}`;
  if (passes(status)) return new Error(said);
  const way = advice[status] ?? 'It is no answer of a server of files: look at the address';
  return new DownloadError(`${name}: ${said}, expected 200. ${way}, or ${byHand}.`, { status });
}

/** Whether the bytes come as they are although the answer calls them packed; a fetch of the caller's own unpacks them. */
const isStored = (url: string, facts: Pick<HttpFileFacts, 'fetch'>, answer: Response): boolean =>
  facts.fetch === undefined && isStoredPacked(url, answer);

/** Of the whole file, if the server says it. */
function sizeIn({ status, headers }: Response, isAsStored = false): number | undefined {
  if (status !== 200) {
    const [, total] = /\/(\d+)$/.exec(headers.get('content-range') ?? '') ?? [];
    return total === undefined ? undefined : Number(total);
  }
  const length = headers.get('content-length');
  // With a content coding the length is that of the coded bytes, which fetch has undone.
  const isPacked = !isAsStored && headers.get('content-encoding') !== null;
  return length === null || isPacked ? undefined : Number(length);
}

/** Where a part begins; NaN if the server does not say it. */
const startIn = ({ headers }: Response): number =>
  Number(/^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1] ?? NaN);
