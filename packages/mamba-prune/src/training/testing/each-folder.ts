import { afterEach, beforeEach } from 'vitest';
import { temporaryFolder } from './toy.js';

/** A folder of its own for every test of the file that calls this, removed after it. */
export function eachTestsFolder(): { readonly path: string } {
  let folder: ReturnType<typeof temporaryFolder>;
  beforeEach(() => (folder = temporaryFolder()));
  afterEach(() => {
    folder.remove();
  });
  return {
    get path() {
      return folder.path;
    },
  };
}
