// hf:owner/name[@revision][:file], as people write a model of the Hugging Face Hub.
import { UsageError } from '../errors.js';

const prefix = 'hf:';
const form = 'hf:owner/name, hf:owner/name@revision or hf:owner/name:file.safetensors';

export interface HubSpec {
  /** `owner/name` */
  readonly repo: string;
  /** Branch, tag or commit. Default `main`. */
  readonly revision: string;
  /** Path within the repository. By default chosen from what is there. */
  readonly file?: string;
}

/** Whether an argument names something on the hub, rightly spelled or not. */
export const isHubSpec = (text: string): boolean => text.startsWith(prefix);

/** @throws UsageError for any other form */
export function parseHubSpec(text: string): HubSpec {
  const match = /^hf:([\w.-]+\/[\w.-]+)(?:@([^:\s]+))?(?::(\S+))?$/.exec(text);
  const [, repo, revision = 'main', file] = match ?? [];
  // git refuses '..' in a ref, and a file must not lead out of the cache.
  if (
    repo === undefined ||
    /(^|\/)\.+(\/|$)/.test(repo) ||
    revision.includes('..') ||
    (file !== undefined && !isSafePath(file))
  ) {
    throw new UsageError(`model: got '${text}', expected ${form}.`);
  }
  return { repo, revision, ...(file !== undefined && { file }) };
}

/** Whether a path of a repository stays below the folder it is put into, on every system. */
export function isSafePath(path: string): boolean {
  return path.split('/').every((part) => part !== '' && !/^\.{1,2}$|[\\:]/.test(part));
}

export function formatHubSpec({ repo, revision, file }: HubSpec): string {
  return `${prefix}${repo}${revision === 'main' ? '' : `@${revision}`}${file === undefined ? '' : `:${file}`}`;
}
