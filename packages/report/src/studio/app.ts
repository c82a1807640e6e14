// What the studio answers. Everything is read only; nothing is served but the page, the runtime of the
// browser, and what belongs to runs below the folder.
import { createReadStream, statSync } from 'node:fs';
import { Readable } from 'node:stream';
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { assetPath, page, runtimePath } from '../report-html.js';
import type { ImageSource } from '../images/open-images.js';
import { canTry, onnxOf, tryOutModel } from '../try-out/models.js';
import { Evaluations } from './evaluations.js';
import type { Watcher } from './watcher.js';

/** A line now and then keeps proxies and browsers from giving up, in ms. */
const heartbeat = 15_000;

const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  'font-src data:',
  "worker-src 'self' blob:",
  "connect-src 'self' data: blob:",
].join('; ');

const types: Readonly<Record<string, string>> = {
  js: 'text/javascript; charset=utf-8',
  mjs: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  wasm: 'application/wasm',
};

/** Files of the bundle, and of onnxruntime-web: the CPU's, and WebGPU's. */
const bundle = new Set(['page.js', 'page.css', 'studio-worker.js']);
const runtime = new Set(
  ['', '.asyncify'].flatMap((build) =>
    ['mjs', 'wasm'].map((end) => `ort-wasm-simd-threaded${build}.${end}`),
  ),
);

/**
 * @param isHost - whether a Host header names this server
 * @param source - of the test images, in place of what the runs name
 */
export function studioApp(
  watcher: Watcher,
  isHost: (host: string) => boolean,
  source: ImageSource,
): Hono {
  const app = new Hono();
  const evaluations = new Evaluations(source);
  app.use(async (context, next) => {
    // Another site's name that was made to point here (DNS rebinding) gets nothing.
    if (!isHost(context.req.header('host') ?? '')) return context.text('wrong host', 403);
    // Nor may another site make the browser ask for anything but the page: an answer costs time here.
    const site = context.req.header('sec-fetch-site') ?? 'none';
    if (context.req.path !== '/' && site !== 'same-origin' && site !== 'none') {
      return context.text('wrong site', 403);
    }
    await next();
    const { headers } = context.res;
    headers.set('Content-Security-Policy', policy);
    headers.set('X-Content-Type-Options', 'nosniff');
    headers.set('Cache-Control', 'no-cache');
    // Threads in the browser need memory that they share, which it gives to isolated pages alone.
    headers.set('Cross-Origin-Opener-Policy', 'same-origin');
    headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
    headers.set('Cross-Origin-Resource-Policy', 'same-origin');
    return undefined;
  });
  app.get('/', (context) =>
    context.html(
      page({
        head: '<link rel="stylesheet" href="/assets/page.css">',
        body: '<script type="module" src="/assets/page.js"></script>',
      }),
    ),
  );
  app.get('/assets/:name', ({ req }) => {
    const name = req.param('name');
    return bundle.has(name) ? file(assetPath(name)) : notFound();
  });
  app.get('/ort/:name', ({ req }) => {
    const name = req.param('name');
    return runtime.has(name) ? file(runtimePath(name)) : notFound();
  });
  app.get('/api/report', (context) => {
    watcher.refresh();
    return context.json(watcher.report());
  });
  app.get('/api/events', (context) => streamSSE(context, (stream) => follow(watcher, stream)));
  app.get('/api/model', ({ req }) => {
    const run = watcher.run(req.query('run') ?? '');
    if (!run || !canTry(run)) return notFound();
    const target = req.query('target') === 'webgpu' ? 'webgpu' : 'cpu';
    return new Response(Uint8Array.from(onnxOf(run, target)), {
      headers: { 'Content-Type': 'application/octet-stream' },
    });
  });
  app.get('/api/try-out', async (context) => {
    const run = watcher.run(context.req.query('run') ?? '');
    return run && canTry(run) ? context.json(await tryOutModel(run, source)) : notFound();
  });
  app.get('/api/evaluation', async (context) => {
    const { evaluation, notes } = await evaluations.of(watcher.report().runs);
    return context.json({ evaluation: evaluation ?? null, notes });
  });
  app.onError((error, context) => context.json({ error: error.message }, 500));
  return app;
}

interface EventStream {
  readonly aborted: boolean;
  writeSSE(message: { event: string; data: string }): Promise<void>;
  sleep(ms: number): Promise<unknown>;
  onAbort(listener: () => void): void;
}

/** Sends changes until the page is closed. */
async function follow(watcher: Watcher, stream: EventStream): Promise<void> {
  const end = watcher.subscribe((update) => {
    void stream.writeSSE({ event: 'update', data: JSON.stringify(update) });
  });
  stream.onAbort(end);
  while (!stream.aborted) {
    await stream.writeSSE({ event: 'quiet', data: '' });
    await stream.sleep(heartbeat);
  }
}

const notFound = (): Response => new Response('not found', { status: 404 });

function file(path: string): Response {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return notFound();
  const body = Readable.toWeb(createReadStream(path)) as ReadableStream;
  const type = types[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
  return new Response(body, {
    headers: { 'Content-Type': type, 'Content-Length': String(stat.size) },
  });
}
