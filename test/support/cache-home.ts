// One folder for what programs cache during a run of the tests, in place of ~/.cache: tests share it, the processes that
// they start inherit it, and it is removed at the end. Several runs share the folder that TEST_CACHE_HOME names, which stays.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** Called by Vitest before the tests, once for each project: the first makes the folder. @returns what is called after them */
export default function useTemporaryCache(): () => void {
  const { TEST_CACHE_HOME: given = '' } = process.env;
  // Absolute, as the processes that tests start are in other folders.
  const folder =
    given === '' ? mkdtempSync(join(tmpdir(), 'mamba-prune-test-cache-')) : resolve(given);
  process.env['TEST_CACHE_HOME'] = process.env['XDG_CACHE_HOME'] = folder;
  return () => {
    if (given === '') rmSync(folder, { recursive: true, force: true });
  };
}
