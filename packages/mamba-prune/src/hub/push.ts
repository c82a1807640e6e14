// A folder into a repository of the Hugging Face Hub: all of its files in one commit, or nothing.
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  HubApiError,
  createBranch,
  createRepo,
  modelInfo,
  uploadFilesWithProgress,
} from '@huggingface/hub';
import { CallbackError, callingBack } from '../files/callbacks.js';
import { filesBelow } from '../files/files-below.js';
import { withStallLimit } from '../files/stall-limit.js';
import { UsageError } from '../errors.js';
import { checkRepo } from '../hub-names.js';
import { type OptionKinds, checkOptions, requirePath } from '../option-checks.js';
import { printableLine } from '../printable.js';
import { isCommit } from './cache.js';
import { HubError, foreignAnswer, isForeignAnswer, isNetworkError } from './errors.js';
import { isOffline } from './fetch.js';
import { placeOf } from './place.js';
import { type PushPhase, type PushPlace, pushBroke, pushRefused } from './push-errors.js';
import { isSafePath } from './spec.js';

export interface PushOptions {
  /** The hub or a mirror of it. Default `HF_ENDPOINT`. */
  readonly endpoint?: string | undefined;
  /** One that may write. By default `HF_TOKEN`, or the one that `hf auth login` stored. */
  readonly token?: string | undefined;
  /** Branch. Default `main`. */
  readonly revision?: string | undefined;
  /** Title of the commit. Default `Upload NAME with mamba-prune`. */
  readonly message?: string | undefined;
  /** Whether the repository and the branch are made where they are missing. Default `false`. */
  readonly create?: boolean | undefined;
  /** Whether a repository that is made is private, and one that is there has to be. Default `false`. */
  readonly private?: boolean | undefined;
  /** Stops before the commit: its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** In bytes. */
  readonly onProgress?: ((progress: PushProgress) => void) | undefined;
}

export interface PushProgress {
  readonly sent: number;
  readonly total: number;
}

const pushKinds: OptionKinds<PushOptions> = {
  endpoint: 'string',
  token: 'string',
  revision: 'string',
  message: 'string',
  create: 'boolean',
  private: 'boolean',
  signal: 'object',
  onProgress: 'function',
};

export interface PushResult {
  /** `owner/name` */
  readonly repo: string;
  readonly revision: string;
  /** 40 hex digits. */
  readonly commit: string;
  /** Of the repository, for browsers. */
  readonly url: string;
  /** Whether the repository was made. */
  readonly created: boolean;
  readonly files: readonly PushedFile[];
}

export interface PushedFile {
  /** Below the folder, with slashes. */
  readonly file: string;
  readonly fileBytes: number;
}

/** As on-demand.ts says. */
export async function pushToHub(
  folder: string,
  repo: string,
  options: PushOptions = {},
): Promise<PushResult> {
  requirePath('pushToHub', folder, 'the folder to upload');
  checkOptions('pushToHub', options, pushKinds);
  const { place, token } = pushPlace(repo, options);
  const { revision, endpoint } = place;
  const files = filesToPush(folder);
  const pushed = await callingBack(options, (guarded) =>
    pushAll(resolve(folder), files, place, token, guarded),
  );
  return { repo, revision, url: `${endpoint}/${repo}`, ...pushed, files };
}

async function pushAll(
  folder: string,
  files: readonly PushedFile[],
  place: PushPlace,
  token: string,
  options: PushOptions,
): Promise<Pick<PushResult, 'commit' | 'created'>> {
  const { repo, endpoint } = place;
  const { create = false, signal } = options;
  const doing: { phase: PushPhase } = { phase: 'create' };
  try {
    const created = create && (await prepare(place, token, options));
    signal?.throwIfAborted();
    doing.phase = 'upload';
    const commit = await upload(folder, files, place, token, options, () => {
      doing.phase = 'commit';
    });
    return { commit, created };
  } catch (error) {
    if (error instanceof CallbackError) throw error;
    const { phase } = doing;
    // The hub's client throws errors of its own where a request was given up.
    if (signal?.aborted === true) {
      if (phase === 'commit') throw pushBroke(place, phase, signal.reason);
      signal.throwIfAborted();
    }
    if (error instanceof HubApiError) throw pushRefused(place, phase, error, files);
    if (isNetworkError(error)) throw pushBroke(place, phase, error);
    if (isForeignAnswer(error)) {
      if (phase === 'commit') throw pushBroke(place, phase, 'an answer that no hub gives');
      throw foreignAnswer(`${repo}: nothing was committed`, endpoint, error);
    }
    throw error;
  }
}

/**
 * Where it goes and with which token, before there is anything to upload.
 * @throws UsageError for a name that no repository has; HubError if there is no token
 */
export function pushPlace(
  repo: string,
  options: Pick<PushOptions, 'endpoint' | 'token' | 'revision'>,
): { readonly place: PushPlace; readonly token: string } {
  checkRepo('pushToHub: repo', repo);
  const { endpoint, token } = placeOf('pushToHub', options);
  if (isOffline({})) {
    throw new HubError(
      `${repo}: HF_HUB_OFFLINE is set, so that nothing is asked of ${endpoint}. Unset it to upload.`,
    );
  }
  if (token === undefined) {
    throw new HubError(
      `${repo}: got no token, expected one that may write there. Make one at ${endpoint}/settings/tokens, and set ` +
        'HF_TOKEN to it or store it with hf auth login.',
    );
  }
  return { place: { repo, revision: options.revision ?? 'main', endpoint }, token };
}

/** @throws UsageError if there are none, or a name that no repository can have */
function filesToPush(folder: string): PushedFile[] {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UsageError(`${folder} is no folder, expected one with the files of a model.`);
  }
  const files = filesBelow(folder, (path) => !/(^|\/)\./.test(path));
  if (files.length === 0) {
    throw new UsageError(`${folder} has no files, expected those of a model.`);
  }
  const bad = files.find(({ file }) => !isSafePath(file));
  if (bad) {
    throw new UsageError(
      `${folder}: got a file '${printableLine(bad.file)}', whose name cannot be had on every system. Rename it.`,
    );
  }
  return files;
}

/** Makes what is missing. @returns whether the repository was */
async function prepare(
  { repo, revision, endpoint }: PushPlace,
  token: string,
  options: PushOptions,
): Promise<boolean> {
  const asked = { hubUrl: endpoint, accessToken: token, fetch: withStallLimit(fetch, options) };
  const visibility = options.private === true ? 'private' : undefined;
  const created = await unlessThere(
    createRepo({ ...asked, repo, ...(visibility && { visibility }) }),
  );
  if (!created && options.private === true) {
    const { private: isPrivate } = await modelInfo({ ...asked, name: repo, revision: 'main' });
    if (!isPrivate) {
      throw new HubError(
        `${repo}: the repository exists and is public, expected a private one. Nothing was uploaded. Make it private at ` +
          `${endpoint}/${repo}/settings, or give another name.`,
      );
    }
  }
  // Commits of a pull request are refs of the hub's own.
  if (revision !== 'main' && !revision.startsWith('refs/')) {
    await unlessThere(createBranch({ ...asked, repo, branch: revision }));
  }
  return created;
}

/** Whether something was made; false where it was there. */
async function unlessThere(making: Promise<unknown>): Promise<boolean> {
  try {
    await making;
    return true;
  } catch (error) {
    if (error instanceof HubApiError && error.statusCode === 409) return false;
    throw error;
  }
}

/**
 * Contents and the commit have fetch's own limit of five minutes of silence: a hub may take long over them.
 * @returns the commit
 */
async function upload(
  folder: string,
  files: readonly PushedFile[],
  { repo, revision, endpoint }: PushPlace,
  token: string,
  { message, signal, onProgress }: PushOptions,
  onCommit: () => void,
): Promise<string> {
  const sizes = new Map(files.map(({ file, fileBytes }) => [file, fileBytes]));
  const sent = new Map<string, number>();
  const total = files.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
  const events = uploadFilesWithProgress({
    repo,
    accessToken: token,
    hubUrl: endpoint,
    branch: revision,
    commitTitle: message ?? `Upload ${repo.split('/').at(-1) ?? repo} with mamba-prune`,
    files: files.map(({ file }) => ({ path: file, content: pathToFileURL(join(folder, file)) })),
    ...(signal && { abortSignal: signal }),
  });
  for (;;) {
    const { value, done } = await events.next();
    if (done === true) {
      if (value && isCommit(value.commit.oid)) return value.commit.oid;
      throw new HubError(`${repo}: ${endpoint} answers without a commit. Is HF_ENDPOINT a hub?`);
    }
    if (value.event === 'phase') {
      if (value.phase === 'committing') onCommit();
      continue;
    }
    if (value.state !== 'uploading') continue;
    sent.set(value.path, value.progress * (sizes.get(value.path) ?? 0));
    onProgress?.({ sent: Array.from(sent.values()).reduce((sum, bytes) => sum + bytes, 0), total });
  }
}
