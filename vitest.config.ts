import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    // Tests run on the TypeScript sources, so they never test a stale build.
    alias: {
      // Before the package itself, which would match first.
      '@mamba-prune/libtorch/kernels': source('packages/libtorch/src/kernels/index.ts'),
      '@mamba-prune/libtorch/files': source('packages/libtorch/src/files/index.ts'),
      '@mamba-prune/libtorch': source('packages/libtorch/src/index.ts'),
      '@mamba-prune/report': source('packages/report/src/index.ts'),
      'mamba-prune/format': source('packages/mamba-prune/src/format.ts'),
      'mamba-prune/preparation/threads': source('packages/mamba-prune/src/preparation/threads.ts'),
      'mamba-prune/preparation': source('packages/mamba-prune/src/preparation/index.ts'),
      'mamba-prune': source('packages/mamba-prune/src/index.ts'),
    },
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
