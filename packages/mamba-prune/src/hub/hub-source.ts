// The hub as a place that files come from.
import { downloadFile } from '@huggingface/hub';
import type { FileSource, RemoteFile } from './download.js';
import { HubError } from './errors.js';

/** Of the hub, where every file has a digest. */
export type HubFile = RemoteFile & { readonly digest: NonNullable<RemoteFile['digest']> };

/** A repository, and how one asks for it. */
export interface HubSource {
  readonly repo: string;
  readonly commit: string;
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly fetch: typeof fetch;
}

/** Files of a repository at a commit. */
export const ofHub = ({ repo, commit, endpoint, token, fetch }: HubSource): FileSource => ({
  name: repo,
  async open(file, from) {
    const blob = await downloadFile({
      repo,
      path: file.path,
      revision: commit,
      hubUrl: endpoint,
      fetch,
      ...(token !== undefined && { accessToken: token }),
    });
    if (blob?.size !== file.size) {
      throw new HubError(
        `${repo}: ${file.path} is listed with ${file.size} bytes, but the hub offers ` +
          `${blob ? `${blob.size} bytes` : 'no such file'}. Try again later.`,
      );
    }
    // A slice of everything asks for the whole file; others for a range.
    return blob.slice(from).stream() as AsyncIterable<Uint8Array>;
  },
});
