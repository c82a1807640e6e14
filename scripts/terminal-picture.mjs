// The picture of what a command prints, such as the one in the README. The command runs on an idle machine, and its progress
// on stderr is no part of the picture:
//
//     npx mamba-prune quickstart --fresh | node scripts/terminal-picture.mjs docs/images/quickstart.png 'npm run quickstart'
//
// Needs Chromium (scripts/setup --browser, or CHROMIUM).
import { text } from 'node:stream/consumers';
import { refuseUnlessPicture, withPage, writePicture } from './picture-file.mjs';
import { readFlags, refuse } from './script-flags.mjs';

const {
  positionals: [out, command],
} = readFlags(
  {},
  { least: 2, most: 2, what: 'the file to write, and the command whose output stdin has' },
);
refuseUnlessPicture(out);
const printed = (await text(process.stdin)).trimEnd();
if (printed === '') refuse('stdin is empty, expected what the command printed');

const escaped = (part) => part.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const style = `body { margin: 0; background: #0d1117 } pre { margin: 0; padding: 24px 26px; width: max-content; min-width: 768px; background: #0d1117;
  color: #e6edf3; font: 16px/1.26 "DejaVu Sans Mono", monospace } b { color: #7ee787; font-weight: normal }`;

await withPage({ deviceScaleFactor: 2 }, async (page) => {
  await page.setContent(
    `<style>${style}</style><pre><b>$ ${escaped(command)}</b>\n\n${escaped(printed)}</pre>`,
  );
  await writePicture(out, page.locator('pre').screenshot());
});
