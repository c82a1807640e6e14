// In the worker: models in onnxruntime-web, timed against each other.
import type { Env, InferenceSession, Tensor } from 'onnxruntime-web/wasm';
import type { Answer, Backend, ImageInput, Request, RunResult } from './protocol.js';

/** The part of onnxruntime-web that is used. */
export interface Runtime {
  readonly env: Env;
  readonly InferenceSession: typeof InferenceSession;
  readonly Tensor: typeof Tensor;
}

/** The worker's own `self`, whose type comes with other libraries than the page's. */
export interface WorkerScope {
  postMessage(message: Answer): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<Request>) => void): void;
}

/** Each model's share of a measurement, in ms, and the least number of rounds. */
const budgetMs = 400;
const leastRounds = 5;
const mostRounds = 200;

/** @param runtimeOf - loads the runtime for a backend */
export function answerRequests(
  scope: WorkerScope,
  runtimeOf: (backend: Backend, wasm: ArrayBuffer | undefined) => Promise<Runtime>,
): void {
  let wasm: ArrayBuffer | undefined;
  let runtime: Runtime | undefined;
  let sessions: InferenceSession[] = [];

  async function answer(request: Request): Promise<Answer | undefined> {
    if (request.type === 'runtime') {
      wasm = request.wasm;
      return undefined;
    }
    if (request.type === 'load') {
      const { models, backend } = request;
      for (const session of sessions) await session.release();
      sessions = [];
      runtime = await runtimeOf(backend, wasm);
      for (const model of models) {
        sessions.push(
          await runtime.InferenceSession.create(model, { executionProviders: [backend] }),
        );
      }
      return { type: 'loaded', threads: runtime.env.wasm.numThreads ?? 1 };
    }
    if (!runtime) throw new Error('try-out: got images before any model');
    return { type: 'result', results: await measure(runtime, sessions, request.images) };
  }

  let last: Promise<unknown> = Promise.resolve();
  scope.addEventListener('message', ({ data }: MessageEvent<Request>) => {
    // One after the other: a session takes one call at a time.
    last = last
      .then(() => answer(data))
      .catch((error: unknown): Answer => ({ type: 'error', message: String(error) }))
      .then((reply) => {
        if (reply) scope.postMessage(reply);
      });
  });
}

/** The models take turns, and every other round begins with the last one: both see the same noise. */
async function measure(
  { Tensor: Input }: Runtime,
  sessions: readonly InferenceSession[],
  images: readonly ImageInput[],
): Promise<RunResult[]> {
  const inputs = images.map(({ pixels, shape }) => new Input('uint8', pixels, shape));
  const times = sessions.map((): number[] => []);
  const probabilities = sessions.map(() => new Float32Array());
  const began = performance.now();
  const isOver = (round: number): boolean =>
    round >= mostRounds ||
    (round >= leastRounds && performance.now() - began > budgetMs * sessions.length);
  // The first round warms up and is not counted.
  for (let round = -1; !isOver(round); round++) {
    const order = [...sessions.keys()];
    if (round % 2 !== 0) order.reverse();
    for (const index of order) {
      const start = performance.now();
      const outputs = await sessions[index]?.run({ images: inputs[index] as Tensor });
      if (round >= 0) times[index]?.push(performance.now() - start);
      probabilities[index] = Float32Array.from(outputs?.['probabilities']?.data as Float32Array);
    }
  }
  return times.map((laps, index) => ({
    probabilities: probabilities[index] ?? new Float32Array(),
    medianMs: median(laps),
    times: laps.length,
  }));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}
