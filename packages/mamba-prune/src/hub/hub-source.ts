// The hub as a place that files come from.
import { HubApiError, downloadFile } from '@huggingface/hub';
import type { Checksum } from '../files/checksum.js';
import type { RemoteFile } from '../files/download.js';
import { passes } from '../files/http-status.js';
import { HubError } from './errors.js';

/** A file of a repository, as the hub lists it. */
export interface HubFile {
  /** In the repository. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Large files (LFS) have the sha256 of the content, others git's sha1. */
  readonly checksum: Checksum;
}

/** What to do where a file cannot be had, as part of a sentence. */
export const byHand = 'download it by hand and give its path';

/** A repository, and how one asks for it. */
export interface HubSource {
  readonly repo: string;
  readonly commit: string;
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly fetch: typeof fetch;
}

/** A fetch that a signal ends, beside the one that a call has of its own. */
const endedBy =
  (call: typeof fetch, signal: AbortSignal): typeof fetch =>
  (input, init) => {
    const own = init?.signal;
    return call(input, { ...init, signal: own ? AbortSignal.any([signal, own]) : signal });
  };

/** A file of a repository at a commit. No version goes with it: its checksum tells all contents apart. */
export const ofHub = (
  { repo, commit, endpoint, token, fetch }: HubSource,
  { path, size, checksum }: HubFile,
): RemoteFile => ({
  name: `${repo}: ${path}`,
  label: path,
  byHand,
  size,
  checksum,
  async open(from, signal) {
    const blob = await downloadFile({
      repo,
      path,
      revision: commit,
      hubUrl: endpoint,
      fetch: endedBy(fetch, signal),
      ...(token !== undefined && { accessToken: token }),
    });
    if (blob === null) {
      throw new HubError(
        `${repo}: ${path} is listed, but the hub offers no such file. Try again later.`,
      );
    }
    // A slice of everything asks for the whole file; others for a range.
    const bytes = blob.slice(from).stream() as AsyncIterable<Uint8Array>;
    return { from, total: blob.size, bytes };
  },
  // The hub said no: asking again gets the same answer, but for haste and troubles of its own.
  isFinal: (error) =>
    error instanceof HubError || (error instanceof HubApiError && !passes(error.statusCode)),
});
