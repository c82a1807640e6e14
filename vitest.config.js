import { defineConfig } from 'vitest/config';
import { entryPoints } from './scripts/entry-points.mjs';

/** Where the kernels are tested, on as many threads as the machine has. */
const engine = ['packages/{libtorch,mamba-prune/src/models}/**/*.test.ts'];

export default defineConfig({
  resolve: {
    // Tests run on the TypeScript sources, so they never test a stale build.
    alias: entryPoints().map(({ name, source }) => ({
      // All of the name: one that only begins with it is another entry.
      find: new RegExp(`^${name}$`),
      replacement: source,
    })),
  },
  test: {
    // A native addon is loaded once per process, so files run in processes of their own.
    pool: 'forks',
    maxWorkers: 2,
    // A folder for caches that is not the user's.
    globalSetup: ['test/support/cache-home.ts'],
    // Nets for what never ends, not measures of what is quick: the machine may be busy with other things, and many
    // hooks train models or start processes.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    projects: [
      {
        extends: true,
        test: { name: 'engine', include: engine },
      },
      {
        extends: true,
        test: {
          name: 'program',
          include: [
            'packages/*/{src,page}/**/*.test.ts',
            'examples/*/src/**/*.test.ts',
            'test/**/*.test.ts',
          ],
          exclude: [...engine, '**/node_modules/**'],
          // Its models have a few thousand parameters: the second thread of each of two workers costs as much again as the
          // first, and what is computed would depend on the number of cores.
          env: { OMP_NUM_THREADS: '1' },
        },
      },
    ],
  },
});
