// For tests: they run on the sources, and so must the page.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Bundles the page if a source of it is newer. */
export function buildPage(): void {
  const script = fileURLToPath(new URL('../../scripts/build-page.mjs', import.meta.url));
  execFileSync(process.execPath, [script, '--check'], { stdio: 'inherit' });
}
