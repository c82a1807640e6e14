// The worker of the studio, which serves the runtime's files: with threads, and with WebGPU.
import type { Backend } from './protocol.js';
import { type Runtime, answerRequests } from './sessions.js';

/** More gain little on models of this size, and a laptop has other things to do. */
const mostThreads = 4;

async function load(backend: Backend): Promise<Runtime> {
  const runtime: Runtime =
    backend === 'webgpu'
      ? await import('onnxruntime-web/webgpu')
      : await import('onnxruntime-web/wasm');
  runtime.env.wasm.wasmPaths = new URL('/ort/', location.href).href;
  runtime.env.wasm.numThreads = crossOriginIsolated
    ? Math.min(mostThreads, navigator.hardwareConcurrency)
    : 1;
  return runtime;
}

answerRequests(self, load);
