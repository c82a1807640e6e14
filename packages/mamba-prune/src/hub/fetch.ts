import { statSync } from 'node:fs';
import { HubApiError, listFiles, modelInfo, pathsInfo } from '@huggingface/hub';
import { UsageError } from '../errors.js';
import type { Checksum } from '../files/checksum.js';
import { CallbackError, callingBack } from '../files/callbacks.js';
import {
  type DownloadOptions,
  DownloadError,
  checkDownload,
  download,
  downloadKinds,
} from '../files/download.js';
import { withStallLimit } from '../files/stall-limit.js';
import { type OptionKinds, checkOptions, requireOptions } from '../option-checks.js';
import { printableLine } from '../printable.js';
import { RepoCache, cacheRoot, isCommit } from './cache.js';
import { chooseFile } from './choose-file.js';
import {
  HubError,
  type HubPlace,
  foreignAnswer,
  isForeignAnswer,
  isNetworkError,
  refused,
  unreachable,
} from './errors.js';
import { type HubFile, type HubSource, ofHub } from './hub-source.js';
import { cardFiles } from '../models/import/card.js';
import { largestCardFile } from './model-card-config.js';
import { placeOf } from './place.js';
import { type HubSpec, formatHubSpec, isSafePath, parseHubSpec } from './spec.js';

export interface HubOptions extends DownloadOptions {
  /** The hub or a mirror of it. Default `HF_ENDPOINT`. */
  readonly endpoint?: string | undefined;
  /** For private and gated repositories. By default `HF_TOKEN`, or the one that `hf auth login` stored. */
  readonly token?: string | undefined;
  /** By default `HF_HUB_CACHE`, or below `HF_HOME`, or ~/.cache/huggingface/hub. */
  readonly cacheDir?: string | undefined;
  /** Only look into the cache; true if `HF_HUB_OFFLINE` is 1. */
  readonly offline?: boolean | undefined;
  /** Is told before the file of weights is downloaded; not if the cache has it. */
  readonly onBegin?: ((file: BegunFile) => void) | undefined;
}

/** What is about to be downloaded. */
export interface BegunFile {
  /** Its path in the repository, or the last part of its address. */
  readonly file: string;
  readonly bytes: number;
}

export const hubKinds: OptionKinds<HubOptions> = {
  ...downloadKinds,
  endpoint: 'string',
  token: 'string',
  cacheDir: 'string',
  offline: 'boolean',
  onBegin: 'function',
};

export interface HubResult {
  /** The file, in the cache: read it, but do not write it. */
  readonly path: string;
  readonly repo: string;
  /** 40 hex digits: with it in place of a branch the same file comes again. */
  readonly commit: string;
  /** Its path in the repository. */
  readonly file: string;
  /** False if the cache had it. */
  readonly downloaded: boolean;
}

/** As on-demand.ts says. */
export async function fetchFromHub(
  spec: string | HubSpec,
  options: HubOptions = {},
): Promise<HubResult> {
  checkOptions('fetchFromHub', options, hubKinds);
  checkDownload('fetchFromHub', options);
  checkSpec(spec);
  const wanted = typeof spec === 'string' ? parseHubSpec(spec) : spec;
  const cache = new RepoCache(cacheRoot(options.cacheDir), wanted.repo);
  const place = placeOf('fetchFromHub', options);
  return callingBack(options, (guarded) => fetchWanted(wanted, cache, place, guarded));
}

async function fetchWanted(
  wanted: HubSpec,
  cache: RepoCache,
  place: HubPlace,
  options: HubOptions,
): Promise<HubResult> {
  // A file of a commit never changes. (Which file a commit means may not be in the cache.)
  if (isCommit(wanted.revision) && wanted.file !== undefined) {
    const found = fromCache(cache, wanted);
    if (found) return found;
  }
  if (isOffline(options)) {
    const found = fromCache(cache, wanted);
    if (found) return found;
    throw new HubError(
      `${formatHubSpec(wanted)}: HF_HUB_OFFLINE is set, and the cache ${cache.folder} has no copy. ` +
        'Unset it, or give the path of a file in place of hf:...',
    );
  }
  try {
    return await fetchInto(cache, wanted, place, options);
  } catch (error) {
    if (error instanceof CallbackError) throw error;
    if (error instanceof DownloadError) throw new HubError(error.message, { cause: error });
    if (error instanceof HubApiError) throw refused(wanted, place, error);
    if (error instanceof HubError || error instanceof UsageError) throw error;
    if (options.signal?.aborted === true) throw error;
    if (isForeignAnswer(error)) throw foreignAnswer(formatHubSpec(wanted), place.endpoint, error);
    if (!isNetworkError(error)) throw error;
    const found = fromCache(cache, wanted);
    if (!found) throw unreachable(wanted, place, error);
    options.onNote?.(
      `Cannot reach ${place.endpoint}: using ${found.file} of ${wanted.repo} as it was last seen ` +
        `(commit ${found.commit.slice(0, 8)}).`,
    );
    return found;
  }
}

/** Whether nothing may be asked for. */
export const isOffline = ({ offline }: Pick<HubOptions, 'offline'>): boolean =>
  offline ?? /^(1|true|yes|on)$/i.test(process.env['HF_HUB_OFFLINE'] ?? '');

/** @throws UsageError for neither form of a spec */
function checkSpec(spec: unknown): void {
  if (typeof spec === 'string') return;
  const names = { repo: 'string', revision: 'string', file: 'string' } as const;
  requireOptions('fetchFromHub', spec, names, ['repo', 'revision']);
}

async function fetchInto(
  cache: RepoCache,
  spec: HubSpec,
  place: HubPlace,
  options: HubOptions,
): Promise<HubResult> {
  const call = options.fetch ?? fetch;
  // What the downloader asks for has its limits already.
  const asked = { repo: spec.repo, commit: '', ...place, fetch: withStallLimit(call, options) };
  const commit = await commitOf(spec, asked);
  const { file, beside } = await findFile(spec, { ...asked, commit }, options.onNote);
  const here: HubSource = { ...asked, commit, fetch: call };
  const result = { path: cache.file(commit, file.path), repo: spec.repo, commit, file: file.path };
  const inCache = isWhole(result.path, file);
  await bring(here, file, cache, options);
  for (const small of beside) {
    await bring(here, small, cache, { ...options, onProgress: undefined, onBegin: undefined });
  }
  cache.remember(spec.revision, commit);
  return { ...result, downloaded: !inCache };
}

/** Into the cache, unless it is there. */
async function bring(
  source: HubSource,
  file: HubFile,
  cache: RepoCache,
  options: HubOptions,
): Promise<void> {
  const { commit } = source;
  if (isWhole(cache.file(commit, file.path), file)) return;
  const digest = file.checksum.value;
  const blob = cache.blob(digest);
  if (!isWhole(blob, file)) {
    options.onBegin?.({ file: file.path, bytes: file.size });
    await download(ofHub(source, file), blob, options);
  }
  cache.link(digest, commit, file.path);
}

/** Whether a path of the cache has all of a file: of a full disk or a copied cache there may be less. */
const isWhole = (path: string, { size }: Pick<HubFile, 'size'>): boolean =>
  statSync(path, { throwIfNoEntry: false })?.size === size;

async function commitOf({ repo, revision }: HubSpec, source: HubSource): Promise<string> {
  if (isCommit(revision)) return revision;
  const { sha } = await modelInfo({
    name: repo,
    revision,
    additionalFields: ['sha'],
    ...hubParameters(source),
  });
  if (isCommit(sha)) return sha;
  throw new HubError(
    `hf:${repo}: ${source.endpoint} answers without the commit of '${revision}'. Is HF_ENDPOINT a hub?`,
  );
}

interface FoundFiles {
  readonly file: HubFile;
  /** What describes the weights, as far as it is there. */
  readonly beside: readonly HubFile[];
}

async function findFile(
  spec: HubSpec,
  source: HubSource,
  onNote: HubOptions['onNote'],
): Promise<FoundFiles> {
  const asked = { repo: spec.repo, revision: source.commit, ...hubParameters(source) };
  const besideOf = (path: string): string[] =>
    cardFiles.map((name) => path.slice(0, path.lastIndexOf('/') + 1) + name);
  if (spec.file !== undefined) {
    const wanted = [spec.file, ...besideOf(spec.file)];
    const found = await pathsInfo({ ...asked, paths: wanted });
    const file = found.find(({ path, type }) => path === spec.file && type === 'file');
    if (file) return { file: hubFile(spec, file), beside: describing(spec, found, file.path) };
  }
  const entries = [];
  for await (const entry of listFiles(asked)) if (entry.type === 'file') entries.push(entry);
  const names = entries.map(({ path }) => path);
  if (spec.file !== undefined) {
    throw new UsageError(
      `${formatHubSpec(spec)}: the repository has no file '${spec.file}', expected one such as ` +
        `${names.slice(0, 6).map(printableLine).join(', ') || 'none: it is empty'}.`,
    );
  }
  const name = chooseFile(spec, names, onNote);
  const file = hubFile(spec, entries.find(({ path }) => path === name) ?? {});
  return { file, beside: describing(spec, entries, name) };

  function describing(
    of: HubSpec,
    all: readonly { readonly path: string; readonly type: string }[],
    weights: string,
  ): HubFile[] {
    const wanted = besideOf(weights);
    return all
      .filter(({ path, type }) => type === 'file' && path !== weights && wanted.includes(path))
      .map((entry) => hubFile(of, entry))
      .filter((entry) => entry.size <= largestCardFile);
  }
}

function hubFile(
  spec: HubSpec,
  entry: { path?: string; size?: number; oid?: string; lfs?: { oid: string; size: number } },
): HubFile {
  const { path = '', lfs } = entry;
  const checksum: Checksum = lfs
    ? { kind: 'sha256', value: lfs.oid }
    : { kind: 'git', value: entry.oid ?? '' };
  const size = lfs?.size ?? entry.size;
  // What a server says becomes names of files: nothing but digests and harmless paths gets through.
  const length = checksum.kind === 'git' ? 40 : 64;
  if (
    !isSafePath(path) ||
    size === undefined ||
    !new RegExp(`^[0-9a-f]{${length}}$`).test(checksum.value)
  ) {
    throw new HubError(
      `${formatHubSpec(spec)}: the hub describes '${printableLine(path)}' in a way that cannot be used. Download it by hand.`,
    );
  }
  return { path, size, checksum };
}

function fromCache(cache: RepoCache, spec: HubSpec): HubResult | undefined {
  const commit = cache.commitOf(spec.revision);
  if (commit === undefined) return undefined;
  const files = cache.files(commit);
  if (spec.file === undefined && files.length === 0) return undefined;
  const file = spec.file ?? chooseFile(spec, files);
  if (!cache.has(commit, file)) return undefined;
  return { path: cache.file(commit, file), repo: spec.repo, commit, file, downloaded: false };
}

function hubParameters({ endpoint, token, fetch }: HubSource): {
  hubUrl: string;
  fetch: typeof fetch;
  accessToken?: string;
} {
  return { hubUrl: endpoint, fetch, ...(token !== undefined && { accessToken: token }) };
}
