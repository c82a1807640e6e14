// For tests: the modules that a page of docs/ shows, written to files.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random, Stage } from '../random.js';

const docs = fileURLToPath(new URL('../../../../../docs/', import.meta.url));

/**
 * Writes the modules, each under the name that its first line has.
 * @param entry - what `mamba-prune` or `mamba-prune/data` means to them: a file, or a name
 * @returns their paths by their names
 */
export function writeDocumentedModules(
  folder: string,
  entry: string,
  page = 'data.md',
): Record<string, string> {
  mkdirSync(folder, { recursive: true });
  const blocks = readFileSync(join(docs, page), 'utf8').matchAll(
    /^```js\n\/\/ (\S+\.mjs)\b.*?^```$/gms,
  );
  const entries = Array.from(blocks, ([block, name = '']) => {
    const path = join(folder, name);
    const code = block.replace(/^```(?:js)?$/gm, '');
    writeFileSync(
      path,
      code.replace(/from 'mamba-prune(\/data)?'/, `from ${JSON.stringify(entry)}`),
    );
    return [name, path];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}

/** Files as records.mjs reads them: 48 images to train on and 24 to test, each bright in the channel of its class. */
export function writeRecords(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const plane = 16 * 16;
  const random = new Random();
  for (const [part, count] of [
    ['train', 48],
    ['test', 24],
  ] as const) {
    const bytes = new Uint8Array(count * (1 + 3 * plane));
    for (let image = 0; image < count; image++) {
      random.seed(count, Stage.split, 0, image);
      const at = image * (1 + 3 * plane);
      bytes[at] = image % 3;
      for (let i = 0; i < 3 * plane; i++) {
        const isBright = Math.floor(i / plane) === image % 3;
        bytes[at + 1 + i] = random.below(150) + (isBright ? 100 : 0);
      }
    }
    writeFileSync(join(folder, `${part}.rec`), bytes);
  }
}
