// The HTTP interface.
import { randomUUID } from 'node:crypto';
import fastify, { type FastifyInstance, LogController } from 'fastify';
import { Admission, orAborted } from './admission.js';
import type { Batcher } from './batcher.js';
import type { Classifier } from './classifier.js';
import type { Clock } from './clock.js';
import type { Config } from './config.js';
import { decodeImage } from './decode.js';
import { answerBrokenRequest, answerErrors } from './error-answers.js';
import { HttpError, stopping } from './errors.js';
import { acceptUploads, uploadOf } from './upload.js';

/** What the server answers with; undefined until the model is loaded. */
export interface Service {
  readonly classifier: Classifier;
  readonly batcher: Batcher<Uint8Array, Float32Array>;
}

export interface ServerState {
  service: Service | undefined;
  /** While draining requests are still served, but /ready says no. */
  stage: 'loading' | 'ready' | 'draining' | 'stopping';
}

export type ServerConfig = Omit<
  Config,
  'MODEL' | 'HOST' | 'PORT' | 'THREADS' | 'DRAIN_MS' | 'GRACE_MS'
>;

const classifyQuery = {
  type: 'object',
  additionalProperties: false,
  properties: { top: { type: 'integer', minimum: 1, maximum: 1000, default: 5 } },
} as const;

export async function buildServer(
  state: ServerState,
  config: ServerConfig,
  clock?: Clock,
): Promise<FastifyInstance> {
  const { MAX_UPLOAD_BYTES, MAX_CONCURRENT, TIMEOUT_MS, MAX_PIXELS, MAX_SIDE } = config;
  const { MAX_UPLOADING, SLOW_AFTER_MS } = config;
  const app = fastify({
    // Written in order and before the process ends; of itself the logger writes behind, and its last lines can change places.
    logger: { level: config.LOG_LEVEL, stream: process.stdout },
    // One line for each request, written below.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    // A form is a little larger than its file.
    bodyLimit: MAX_UPLOAD_BYTES + 64 * 1024,
    requestTimeout: TIMEOUT_MS,
    http: {
      headersTimeout: Math.min(TIMEOUT_MS, 10_000),
      // How late a deadline may be noticed.
      connectionsCheckingInterval: Math.min(1000, Math.ceil(TIMEOUT_MS / 4)),
    },
    keepAliveTimeout: 5000,
    // We say it ourselves, in the same JSON as all else.
    return503OnClosing: false,
    clientErrorHandler: answerBrokenRequest,
  });
  const admission = new Admission({
    maxConcurrent: MAX_CONCURRENT,
    maxUploading: MAX_UPLOADING,
    maxWaitingBytes: MAX_CONCURRENT * MAX_UPLOAD_BYTES,
    slowAfterMs: SLOW_AFTER_MS,
    timeoutMs: TIMEOUT_MS,
    clock,
  });
  const limits = { maxPixels: MAX_PIXELS, maxSide: MAX_SIDE, timeoutMs: TIMEOUT_MS };
  await acceptUploads(app, MAX_UPLOAD_BYTES);
  answerErrors(app, MAX_UPLOAD_BYTES);

  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
    if (state.stage === 'stopping') throw stopping();
  });
  app.addHook('onSend', async (_request, reply) => {
    // Else a connection that is kept alive would hold up the end.
    if (state.stage === 'stopping') void reply.header('connection', 'close');
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, url, outcome } = request;
    const line = { reqId: request.id, method, url, status: reply.statusCode, ...outcome };
    const level = reply.statusCode >= 500 ? 'warn' : 'info';
    app.log[level]({ ...line, ms: round(reply.elapsedTime) }, 'request');
  });
  app.decorateRequest('outcome');

  // Alive: the process answers.
  app.get('/health', () => ({ status: 'ok' }));

  // Ready: requests may be sent here.
  app.get('/ready', (_request, reply) => {
    const { service } = state;
    void reply.code(state.stage === 'ready' ? 200 : 503);
    return {
      status: state.stage,
      working: admission.working,
      uploading: admission.uploading,
      waiting: service?.batcher.waiting ?? 0,
    };
  });

  app.get('/model', () => {
    const { shape, preprocessing, classes, description } = serviceOf(state).classifier;
    return { ...description, input: shape, preprocessing, classes };
  });

  app.post<{ Querystring: { top: number } }>(
    '/classify',
    {
      schema: { querystring: classifyQuery },
      onRequest: (request, reply, done) => {
        serviceOf(state);
        admission.enter(request, reply);
        done();
      },
    },
    async (request, reply) => {
      const signal = admission.signalOf(request);
      const { classifier, batcher } = serviceOf(state);
      const { bytes, declared } = await orAborted(uploadOf(request), signal);
      admission.received(request, reply);
      request.outcome = { bytes: bytes.length };
      const started = performance.now();
      const decoded = decodeImage(bytes, declared, classifier, limits, signal);
      const pixels = await orAborted(decoded, signal);
      const decodeMs = performance.now() - started;
      const { value, batch, queueMs, runMs } = await batcher.submit(pixels, signal);
      const timing = {
        decodeMs: round(decodeMs),
        queueMs: round(queueMs),
        inferenceMs: round(runMs),
        batch,
      };
      request.outcome = { bytes: bytes.length, ...timing };
      return {
        requestId: request.id,
        predictions: best(value, classifier.classes, request.query.top),
        timing,
      };
    },
  );
  return app;
}

function serviceOf({ service }: ServerState): Service {
  if (!service) throw new HttpError(503, 'loading', 'The model is being loaded. Try again soon.');
  return service;
}

function best(probabilities: Float32Array, classes: readonly string[], top: number): object[] {
  return Array.from(probabilities, (probability, index) => ({
    class: classes[index] ?? `class ${index}`,
    index,
    probability,
  }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, top);
}

const round = (ms: number): number => Math.round(1000 * ms) / 1000;

declare module 'fastify' {
  interface FastifyRequest {
    /** What the log says of the request beside its status. */
    outcome?: object;
  }
}
