// Writes what follows from the cards: index.json, the page of each model, and the tables of README.md and docs/models.md.
//
//   node packages/models/scripts/write-pages.mjs            writes the files
//   node packages/models/scripts/write-pages.mjs --check    fails if one of them is not what the cards say
import { readFlags } from '../../../scripts/script-flags.mjs';
import { changedPages, writePages } from './pages.mjs';

const { values } = readFlags({ check: { type: 'boolean' } });
if (values.check) {
  for (const [path] of await changedPages()) {
    console.error(
      `${path} is not what the cards say. Run: node packages/models/scripts/write-pages.mjs`,
    );
    process.exitCode = 1;
  }
} else {
  await writePages();
}
