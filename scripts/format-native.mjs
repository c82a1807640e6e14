// Formats the native code as .clang-format says.
//
//   node scripts/format-native.mjs [--check]
//
// --check changes nothing, names the files that are not formatted, and ends with 1 if there are any.
import { format } from '@wasm-fmt/clang-format';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFlags } from './script-flags.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const native = join(root, 'packages', 'libtorch', 'native');
const style = readFileSync(join(root, '.clang-format'), 'utf8');
const {
  values: { check },
} = readFlags({ check: { type: 'boolean', default: false } });

const files = readdirSync(native, { withFileTypes: true, recursive: true })
  .filter((entry) => entry.isFile() && /\.(cc|h|cu|cuh)$/.test(entry.name))
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
  .sort();
let differing = 0;
for (const path of files) {
  const text = readFileSync(path, 'utf8');
  // A .cu file is C++ to clang-format, which does not know the ending.
  const formatted = format(text, path.replace(/\.cuh?$/, '.cc'), style);
  if (formatted === text) continue;
  differing += 1;
  if (check) console.error(`${relative(root, path)} is not formatted`);
  else writeFileSync(path, formatted);
}
if (check && differing > 0) {
  console.error('Format the native code: npm run format');
  process.exit(1);
}
