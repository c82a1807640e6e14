import { defineConfig } from 'vitest/config';
import { entryPoints } from './scripts/entry-points.mjs';

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
    include: [
      'packages/*/{src,page}/**/*.test.ts',
      'examples/*/src/**/*.test.ts',
      'test/**/*.test.ts',
    ],
    // A native addon is loaded once per process, so files run in processes of their own.
    pool: 'forks',
    maxWorkers: 2,
    // Nets for what never ends, not measures of what is quick: the machine may be busy with other things, and many
    // hooks train models or start processes.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
