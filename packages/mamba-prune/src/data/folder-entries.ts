/** What lies in one folder of a data set, told apart by name and kind; nothing is left out unsaid. */
import { isUtf8 } from 'node:buffer';
import { readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { byCodePoint } from './code-points.js';
import { imageEnding } from './image-decode.js';

/** Names of each kind, in the order of code points. */
export interface FolderEntries {
  folders: string[];
  images: string[];
  /** Pictures and films of formats that are not read. */
  unread: string[];
  /** Images and folders whose names begin with a dot. */
  hidden: string[];
  /** Any other file. */
  others: string[];
  /** Links to nothing that no ending tells the kind of. */
  broken: string[];
  /** Images and folders whose names are no UTF-8, with the bytes as `\xe9`. */
  notUtf8: string[];
}

/** Endings of pictures and films that people keep beside those that are read. */
const unreadEnding =
  /\.(?:heic|heif|avif|jp2|j2k|jpf|jpx|jxl|jxr|svgz?|raw|arw|cr2|cr3|dng|nef|orf|raf|rw2|psd|xcf|ico|tga|pcx|exr|hdr|dds|fits?|dcm|mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv)$/i;

/** What systems and programs leave in every folder. */
const litter = new Set([
  'thumbs.db',
  'ehthumbs.db',
  'ehthumbs_vista.db',
  'desktop.ini',
  'icon\r',
  '__macosx',
  '__pycache__',
  '@eadir',
  '$recycle.bin',
  'system volume information',
  'lost+found',
  '.ipynb_checkpoints',
  '.git',
  '.svn',
  '.hg',
  '.dvc',
  '.cache',
  '.thumbnails',
  '.idea',
  '.vscode',
  '.appledouble',
  '.fseventsd',
  '.spotlight-v100',
  '.temporaryitems',
  '.trash',
  '.trashes',
]);

/** `.heic` */
export const endingOf = (name: string): string => (/\.[^.]*$/.exec(name)?.[0] ?? '').toLowerCase();

/** @throws the system's error if it cannot be read */
export function readEntries(path: string): FolderEntries {
  const found: FolderEntries = {
    folders: [],
    images: [],
    unread: [],
    hidden: [],
    others: [],
    broken: [],
    notUtf8: [],
  };
  // As bytes: a name that is no UTF-8 would come back as another one.
  for (const entry of readdirSync(path, { withFileTypes: true, encoding: 'buffer' })) {
    const bytes = entry.name as unknown as Uint8Array;
    const isName = isUtf8(bytes);
    const name = isName ? Buffer.from(bytes).toString('utf8') : escapedBytes(bytes);
    if (isLitter(name)) continue;
    let isFolder = entry.isDirectory();
    if (entry.isSymbolicLink() && isName) {
      const target = targetOf(join(path, name));
      isFolder = target?.isDirectory() ?? false;
      // One that is called as an image is reported with the images that cannot be read.
      if (target === undefined && !imageEnding.test(name)) {
        found.broken.push(name);
        continue;
      }
    }
    const isPicture = isFolder || imageEnding.test(name) || unreadEnding.test(name);
    if (!isName && (isPicture || entry.isSymbolicLink())) found.notUtf8.push(name);
    else if (name.startsWith('.')) {
      // Settings and lists of programs are hidden for a reason; pictures and folders may be data.
      if (isPicture) found.hidden.push(name);
    } else if (isFolder) found.folders.push(name);
    else if (imageEnding.test(name)) found.images.push(name);
    else if (unreadEnding.test(name)) found.unread.push(name);
    else found.others.push(name);
  }
  for (const names of Object.values(found) as string[][]) names.sort(byCodePoint);
  return found;
}

/** undefined for a link to nothing, to itself, or to where one may not look. */
function targetOf(link: string): Stats | undefined {
  try {
    return statSync(link, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** Also `._x.jpg`, where macOS keeps what other file systems have no place for. */
const isLitter = (name: string): boolean => name.startsWith('._') || litter.has(name.toLowerCase());

function escapedBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) =>
    byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`,
  ).join('');
}
