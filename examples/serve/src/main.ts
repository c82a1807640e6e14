#!/usr/bin/env node
// node dist/main.js MODEL.onnx; settings are environment variables (config.ts).
import closeWithGrace from 'close-with-grace';
import { openClassifier } from './classifier.js';
import { readConfig } from './config.js';
import { startServer } from './start.js';

try {
  const config = readConfig(process.env, process.argv[2]);
  const server = await startServer(config, () => openClassifier(config.MODEL, config.THREADS));
  // SIGTERM, SIGINT, and errors that nobody caught; after the grace period the process ends anyway.
  closeWithGrace(
    { delay: config.DRAIN_MS + config.GRACE_MS, logger: server.app.log },
    async ({ err, signal }) => {
      if (err) server.app.log.fatal({ err }, 'failed');
      else server.app.log.info({ signal }, 'asked to stop');
      await server.stop();
    },
  );
} catch (error) {
  process.stderr.write(`serve: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
