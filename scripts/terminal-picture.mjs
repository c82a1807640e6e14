// The picture of what a command leaves on a terminal of 80 columns, such as the one in the README:
//
//     node scripts/terminal-picture.mjs docs/images/quickstart.png 'npx mamba-prune quickstart --fresh' --shown 'npm run quickstart'
//
// The command runs in the current folder, on an idle machine where it prints times. --shown is the command that the picture has in place of it.
//
// Needs tmux, and Chromium (scripts/setup --browser, or CHROMIUM).
import { refuseUnlessPicture, withPage, writePicture } from './picture-file.mjs';
import { readFlags, refuse } from './script-flags.mjs';
import { htmlOfTerminal } from './terminal-html.mjs';
import { screenAfter } from './terminal-screen.mjs';

const {
  values: { shown },
  positionals: [out, command],
} = readFlags(
  { shown: { type: 'string' } },
  { least: 2, most: 2, what: 'the file to write, and the command to run' },
);
refuseUnlessPicture(out);
const screen = screenAfter(command);
if (screen === '') refuse(`${command} printed nothing, expected what the picture shows`);

const style = `body { margin: 0; background: #0d1117 } pre { margin: 0; padding: 24px 26px; width: max-content; min-width: 768px; background: #0d1117;
  color: #e6edf3; font: 16px/1.26 "DejaVu Sans Mono", monospace } .bold { font-weight: bold } .dim { color: #9198a1 } .green { color: #7ee787 }
  .cyan { color: #79c0ff } .red { color: #ff7b72 } .yellow { color: #e3b341 }`;

await withPage({ deviceScaleFactor: 2 }, async (page) => {
  const prompt = htmlOfTerminal(`\x1b[32m$ ${shown ?? command}\x1b[0m`);
  await page.setContent(`<style>${style}</style><pre>${prompt}\n\n${htmlOfTerminal(screen)}</pre>`);
  await writePicture(out, page.locator('pre').screenshot());
});
