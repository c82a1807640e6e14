// Writes what follows from the cards: index.json, the page of each model, and the tables of README.md and docs/models.md.
//
//   node packages/models/scripts/write-pages.mjs            writes the files
//   node packages/models/scripts/write-pages.mjs --check    fails if one of them is not what the cards say
import { changedPages, writePages } from './pages.mjs';

if (process.argv.includes('--check')) {
  for (const [path] of await changedPages()) {
    console.error(
      `${path} is not what the cards say. Run: node packages/models/scripts/write-pages.mjs`,
    );
    process.exitCode = 1;
  }
} else {
  await writePages();
}
