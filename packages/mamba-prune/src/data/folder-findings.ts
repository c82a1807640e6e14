/** What was seen while a data set's folders were read and is not read itself, for one note of each kind. */
import { dirname, join, relative } from 'node:path';
import { printableLine } from '../printable.js';
import { endingOf, type FolderEntries } from './folder-entries.js';

/** How many names a note or an error lists. */
export const named = 10;

export class Findings {
  notes: string[] = [];
  /** Files that are no images. */
  others: string[] = [];
  unread: string[] = [];
  hidden: string[] = [];
  broken: string[] = [];
  /** Images beside the class folders. */
  loose: string[] = [];
  /** Folders reached a second time, through links. */
  loops: string[] = [];
  notUtf8: string[] = [];

  /** All but what is read. */
  add(path: string, entries: FolderEntries): void {
    for (const kind of ['unread', 'hidden', 'broken', 'others', 'notUtf8'] as const) {
      for (const name of entries[kind]) {
        // Tiny-ImageNet keeps a list of boxes in every class folder.
        if (kind === 'others' && name.endsWith('_boxes.txt')) continue;
        this[kind].push(join(path, name));
      }
    }
  }

  /** All that another has. */
  take(other: Findings): void {
    for (const kind of Object.keys(this) as (keyof Omit<Findings, 'add' | 'take' | 'lines'>)[]) {
      this[kind] = [...this[kind], ...other[kind]];
    }
  }

  /** @param name - of the data set; @param dir - that paths are shown relative to */
  lines(name: string, dir: string): string[] {
    const ignored = (paths: readonly string[], one: string, many: string, rest = ''): string[] => {
      const [first] = paths;
      if (first === undefined) return [];
      const shown = printableLine(first);
      const text =
        paths.length === 1
          ? `ignored 1 ${one}, ${shown}`
          : `ignored ${paths.length} ${many}, such as ${shown}`;
      return [`${name}: ${text}.${rest}`];
    };
    return [
      ...this.notes.map((note) => `${name}: ${note}`),
      ...ignored(
        this.loose,
        'image that lies in no class folder',
        'images that lie in no class folder',
        ' Sort them into the folders of their classes.',
      ),
      ...this.#unreadLine(name, dir),
      ...ignored(this.others, 'file that is no image', 'files that are no images'),
      ...ignored(this.hidden, 'hidden image or folder', 'hidden images and folders'),
      ...ignored(this.broken, 'link to nothing', 'links to nothing'),
      ...ignored(
        this.loops,
        'folder that a link leads to a second time',
        'folders that links lead to a second time',
      ),
    ];
  }

  #unreadLine(name: string, dir: string): string[] {
    const [first] = this.unread;
    if (first === undefined) return [];
    const one = this.unread.length === 1;
    const places = counted(this.unread, (path) => relative(dir, dirname(path)));
    return [
      `${name}: ignored ${one ? '1 file of a format that is' : `${this.unread.length} files of formats that are`} ` +
        `not read: ${unreadFormats(this.unread)} (${places}), such as ${printableLine(first)}. ` +
        'Convert them to JPEG or PNG.',
    ];
  }
}

/** `3 .heic, 1 .svg` */
export const unreadFormats = (paths: readonly string[]): string => counted(paths, endingOf, ' ');

/** `12 in train/cat, 2 in train/dog`, the first few of them. */
function counted(
  paths: readonly string[],
  keyOf: (path: string) => string,
  between = ' in ',
): string {
  const counts = new Map<string, number>();
  for (const path of paths) {
    const key = keyOf(path);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return listed(Array.from(counts, ([key, count]) => `${count}${between}${printableLine(key)}`));
}

/** The first few, and how many more there are. */
export function listed(items: readonly string[], separator = ', '): string {
  const more = items.length > named ? ` and ${items.length - named} more` : '';
  return `${items.slice(0, named).join(separator)}${more}`;
}
