/** What a result may depend on besides the options: versions and machine, for config.json. */
import { getNumThreads, libtorchVersion } from '@mamba-prune/libtorch';
import { readFileSync } from 'node:fs';
import { arch, cpus, platform, release } from 'node:os';

export interface Environment {
  readonly versions: Readonly<
    Record<'mambaPrune' | 'libtorchPackage' | 'libtorch' | 'node', string>
  >;
  readonly machine: { readonly system: string; readonly cpu: string; readonly threads: number };
}

export function describeEnvironment(): Environment {
  // Two folders up both from src/training and from dist/training.
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const own = JSON.parse(text) as { version: string; dependencies: Record<string, string> };
  return {
    versions: {
      mambaPrune: own.version,
      libtorchPackage: own.dependencies['@mamba-prune/libtorch'] ?? 'unknown',
      libtorch: libtorchVersion(),
      node: process.versions.node,
    },
    machine: {
      system: `${platform()} ${release()} ${arch()}`,
      cpu: cpus()[0]?.model ?? 'unknown',
      threads: getNumThreads(),
    },
  };
}
