/**
 * The cache of the hub, in the layout that Python's huggingface_hub has too, so that each finds what the
 * other downloaded:
 *
 *     models--owner--name/blobs/SHA                 contents
 *     models--owner--name/snapshots/COMMIT/FILE     links to them
 *     models--owner--name/refs/REVISION             the commit that a branch or tag was last seen at
 */
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, readdirSync, renameSync, statSync } from 'node:fs';
import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { readTextFile } from '@mamba-prune/libtorch/files';
import { getHFHubCachePath } from '@huggingface/hub';
import { UsageError } from '../errors.js';
import { makeFolder } from '../files/folder.js';
import { printableLine } from '../printable.js';

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/**
 * The folder of the cache, which need not be there yet.
 * @param given - in place of what the environment says
 * @throws UsageError if it is no folder
 */
export function cacheRoot(given?: string): string {
  const root = given ?? getHFHubCachePath();
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() !== false) return root;
  throw new UsageError(
    `the cache of downloads: got ${printableLine(root)}, which is a file, expected a folder. ` +
      (given === undefined
        ? 'Set HF_HUB_CACHE to another path, or unset it.'
        : 'Give another cacheDir.'),
  );
}

export class RepoCache {
  readonly folder: string;

  /** @param root - `HF_HUB_CACHE`, or as huggingface_hub chooses it */
  constructor(root: string, repo: string) {
    this.folder = join(root, ['models', ...repo.split('/')].join('--'));
  }

  blob(digest: string): string {
    return join(this.folder, 'blobs', digest);
  }

  /** The file of a snapshot, whether it is there or not. */
  file(commit: string, path: string): string {
    return join(this.folder, 'snapshots', commit, ...path.split('/'));
  }

  /** Whether it is there; a link to nothing does not count. */
  has(commit: string, path: string): boolean {
    return existsSync(this.file(commit, path));
  }

  /** Files on the top level of a snapshot. */
  files(commit: string): string[] {
    const folder = join(this.folder, 'snapshots', commit);
    return existsSync(folder) ? readdirSync(folder).sort() : [];
  }

  /** The commit that a revision was last seen at. */
  commitOf(revision: string): string | undefined {
    if (isCommit(revision)) return revision;
    try {
      const commit = readTextFile(this.#ref(revision)).trim();
      return isCommit(commit) ? commit : undefined;
    } catch {
      return undefined;
    }
  }

  remember(revision: string, commit: string): void {
    if (isCommit(revision) || this.commitOf(revision) === commit) return;
    replace(this.#ref(revision), (path) => {
      writeFileSync(path, commit);
    });
  }

  /** Makes a blob appear in a snapshot. */
  link(digest: string, commit: string, path: string): void {
    const file = this.file(commit, path);
    const blob = this.blob(digest);
    replace(file, (temporary) => {
      try {
        symlinkSync(relative(dirname(file), blob), temporary);
      } catch {
        copyFileSync(blob, temporary); // a file system without links
      }
    });
  }

  #ref(revision: string): string {
    return join(this.folder, 'refs', ...revision.split('/'));
  }
}

/** Writes under a name of its own first: nobody reads half a file. */
function replace(path: string, write: (temporary: string) => void): void {
  makeFolder(dirname(path));
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  try {
    write(temporary);
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}
