// Where a file of the cache came from: its own path tells people little, and other machines nothing.
import { formatHubSpec } from './spec.js';

/** A file of a repository of the hub, or of an address. */
export type FileOrigin =
  | { readonly repo: string; readonly commit: string; readonly file: string }
  | { readonly address: string };

const ofHub = /(?:^|\/)models--([^/]+?)--([^/]+)\/snapshots\/([^/]+)\/(.+)$/;
const ofAddress = /(?:^|\/)(https?)--([^/]+)\/(.+)$/;

/** Parts of the path below the cache that a file of an address has; `originOf` reads them. */
export function addressParts(address: string): string[] {
  const { protocol, host, pathname } = new URL(address);
  // No system has trouble with a `+` in the name of a folder.
  return [
    `${protocol.slice(0, -1)}--${host.replaceAll(':', '+')}`,
    ...pathname.split('/').filter((part) => part !== ''),
  ];
}

/** @returns undefined for a file that is none of the cache */
export function originOf(path: string): FileOrigin | undefined {
  const text = path.replaceAll('\\', '/');
  const [, owner, name, commit = '', file = ''] = ofHub.exec(text) ?? [];
  if (owner !== undefined && name !== undefined) return { repo: `${owner}/${name}`, commit, file };
  const [, protocol, host, rest] = ofAddress.exec(text) ?? [];
  if (protocol === undefined || host === undefined || rest === undefined) return undefined;
  return { address: `${protocol}://${host.replaceAll('+', ':')}/${rest}` };
}

/** Files that a repository without further word means. */
const usualFiles = ['model.safetensors', 'pytorch_model.bin'];

/** As it is typed or looked at: `hf:owner/name`, with the file where it has no usual name, or the address. */
export function originText(origin: FileOrigin): string {
  if ('address' in origin) return origin.address;
  const { repo, file } = origin;
  return formatHubSpec({ repo, revision: 'main', ...(!usualFiles.includes(file) && { file }) });
}

/** What tables call it: `owner/name`, or the file of an address. */
export const originLabel = (origin: FileOrigin): string =>
  'address' in origin
    ? (origin.address.split('/').at(-1) ?? origin.address).replace(/\.\w+$/, '')
    : origin.repo;

/** In the form that fetches the very same file again. */
export const exactOrigin = (origin: FileOrigin): string =>
  'address' in origin
    ? origin.address
    : formatHubSpec({ repo: origin.repo, revision: origin.commit, file: origin.file });
