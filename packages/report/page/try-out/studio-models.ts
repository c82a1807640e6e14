// Models that the studio exports when they are asked for.
import type { TryOutModel } from '../../src/page-data/try-out.js';
import type { Evaluated, Models } from './models.js';

async function get(path: string, query: Record<string, string> = {}): Promise<Response> {
  const response = await fetch(`${path}?${new URLSearchParams(query).toString()}`);
  if (response.ok) return response;
  const { error } = (await response.json().catch(() => ({}))) as { error?: string };
  throw new Error(error ?? `${path}: ${response.status}`);
}

export const studioModels: Models = {
  has: ({ state, size }) => state === 'finished' && size?.bytes != null,
  file: async (run, backend) => {
    const target = backend === 'webgpu' ? 'webgpu' : 'cpu';
    return new Uint8Array(await (await get('/api/model', { run, target })).arrayBuffer());
  },
  evaluate: async () => (await (await get('/api/evaluation')).json()) as Evaluated,
  describe: async (run) => (await (await get('/api/try-out', { run })).json()) as TryOutModel,
  backends: async () => {
    const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<unknown> } };
    const adapter = await gpu?.requestAdapter().catch(() => null);
    return adapter ? ['wasm', 'webgpu'] : ['wasm'];
  },
  startWorker: () => Promise.resolve(new Worker('/assets/studio-worker.js', { type: 'module' })),
};
