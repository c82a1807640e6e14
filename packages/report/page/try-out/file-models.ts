// Models that lie in the page itself, with the runtime.
import type { TryOutModel } from '../../src/page-data/try-out.js';
import type { Models } from './models.js';
import type { Request } from './protocol.js';

const textOf = (id: string): string | undefined =>
  document.getElementById(id)?.textContent ?? undefined;

/** @returns undefined if the report was written without models */
export function fileModels(): Models | undefined {
  const text = textOf('models');
  const worker = textOf('worker');
  if (text === undefined || worker === undefined) return undefined;
  const models = JSON.parse(text) as readonly (TryOutModel & { readonly element: string })[];
  const find = (run: string): (typeof models)[number] => {
    const found = models.find((model) => model.run === run);
    if (!found) throw new Error(`try-out: ${run} is not in this report`);
    return found;
  };
  return {
    has: ({ id }) => models.some(({ run }) => run === id),
    file: async (run) => new Uint8Array(await unpack(find(run).element)),
    describe: (run) => Promise.resolve(find(run)),
    backends: () => Promise.resolve(['wasm']),
    startWorker: async () => {
      const source = URL.createObjectURL(new Blob([worker], { type: 'text/javascript' }));
      const started = new Worker(source);
      const wasm = await unpack('ort');
      started.postMessage({ type: 'runtime', wasm } satisfies Request, [wasm]);
      return started;
    },
  };
}

/** An element's gzipped bytes in base64. */
async function unpack(id: string): Promise<ArrayBuffer> {
  const response = await fetch(`data:application/octet-stream;base64,${textOf(id)?.trim() ?? ''}`);
  const stream = response.body?.pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream ?? null).arrayBuffer();
}
