// The life of a server: listen, load, serve, stop.
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { Batcher } from './batcher.js';
import type { Classifier } from './classifier.js';
import { type Clock, realClock } from './clock.js';
import type { Config } from './config.js';
import { type ServerState, buildServer } from './server.js';

export interface RunningServer {
  readonly app: FastifyInstance;
  readonly url: string;
  /** /ready says no, then the port is closed, then what was taken is finished, then the model is freed. */
  stop(): Promise<void>;
}

/**
 * Listens at once, so that /health answers, and is ready when the model is loaded.
 * @param open - loads the model; the server listens at the URL already
 * @param clock - the real one by default
 */
export async function startServer(
  config: Config,
  open: (url: string) => Promise<Classifier>,
  clock: Clock = realClock,
): Promise<RunningServer> {
  const state: ServerState = { service: undefined, stage: 'loading' };
  const app = await buildServer(state, config, clock);
  await app.listen({ host: config.HOST, port: config.PORT });
  const { address, port, family } = app.server.address() as AddressInfo;
  const url = `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  const stop = async (): Promise<void> => {
    state.stage = 'draining';
    app.log.info({ drainMs: config.DRAIN_MS }, 'stopping');
    if (config.DRAIN_MS > 0) {
      await new Promise<void>((resolve) => clock.after(config.DRAIN_MS, resolve));
    }
    state.stage = 'stopping';
    state.service?.batcher.hurry();
    // Waits for the requests that came in before.
    await app.close();
    await state.service?.batcher.close();
    await state.service?.classifier.release();
    app.log.info('stopped');
  };
  try {
    const started = performance.now();
    const classifier = await open(url);
    const batcher = new Batcher<Uint8Array, Float32Array>((images) => classifier.run(images), {
      maxBatch: config.MAX_BATCH,
      waitMs: config.BATCH_WAIT_MS,
      clock,
    });
    state.service = { classifier, batcher };
    state.stage = 'ready';
    const loadMs = Math.round(performance.now() - started);
    app.log.info({ ...classifier.description, input: classifier.shape, loadMs }, 'ready');
  } catch (error) {
    await app.close();
    throw error;
  }
  return { app, url, stop };
}
