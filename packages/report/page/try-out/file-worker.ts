// The worker of a report in a file: the runtime is handed to it, and has one thread, as pages from the
// disk may not share memory.
import * as ort from 'onnxruntime-web/wasm';
import { type Runtime, answerRequests } from './sessions.js';

answerRequests(self, (_backend, wasm): Promise<Runtime> => {
  if (wasm) ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1;
  return Promise.resolve(ort);
});
