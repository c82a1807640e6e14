#!/usr/bin/env node
// Loads a server of its own with concurrent uploads, and fails if a single one goes wrong.
//
//   node dist/load/main.js MODEL.onnx [--seconds 60] [--connections 32] [--largest 1280]
//
// --largest leaves out wider images.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';
import { type LoadImage, loadImages } from './images.js';

const usage = 'expected MODEL.onnx [--seconds 60] [--connections 32] [--largest 1280]';

function settings() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '60' },
      connections: { type: 'string', default: '32' },
      largest: { type: 'string', default: '1280' },
    },
  });
  const [path] = positionals;
  const [seconds, connections, largest] = [values.seconds, values.connections, values.largest].map(
    Number,
  ) as [number, number, number];
  const isWhole = Number.isInteger(connections) && connections > 0;
  if (path === undefined || !(seconds > 0) || !isWhole || !(largest >= 32)) throw new Error(usage);
  return { model: path, seconds, connections, largest };
}

function given(): ReturnType<typeof settings> {
  try {
    return settings();
  } catch (error) {
    const { message } = error as Error;
    console.error(`load: ${message === usage ? usage : `${message.split('. ')[0]}; ${usage}`}`);
    process.exit(2);
  }
}

const { model, seconds, connections, largest } = given();

/** The server as a process, ready to be asked. */
async function startServer(
  path: string,
): Promise<{ url: string; pid: number; stop: () => Promise<number | null> }> {
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  const child = spawn(process.execPath, [main, path], {
    env: { ...process.env, PORT: '0', LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const stop = (): Promise<number | null> => {
    child.kill('SIGTERM');
    return ended;
  };
  let url = '';
  for await (const line of createInterface(child.stdout)) {
    url = /listening at (http:[^"]+)/.exec(line)?.[1] ?? url;
    if (line.includes('"msg":"ready"')) break;
  }
  // Nobody reads its log from here on, and a full pipe would stop it.
  child.stdout.resume();
  if (url === '' || child.pid === undefined) throw new Error('load: the server did not start.');
  return { url, pid: child.pid, stop };
}

/** Memory in use, in MiB; Linux only. */
function residentMiB(pid: number): number {
  const [, kib = 'NaN'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

function fire(
  url: string,
  images: readonly LoadImage[],
  duration: number,
): Promise<autocannon.Result> {
  return autocannon({
    url,
    connections,
    duration,
    requests: images.map(({ bytes, type }) => ({
      method: 'POST',
      path: '/classify?top=1',
      headers: { 'content-type': type },
      body: bytes,
    })),
  });
}

const server = await startServer(model);
const images = await loadImages(largest);
await fire(server.url, images, Math.min(3, seconds));
const before = residentMiB(server.pid);
let most = before;
const sampling = setInterval(() => {
  most = Math.max(most, residentMiB(server.pid));
}, 500);
const result = await fire(server.url, images, seconds);
clearInterval(sampling);
const after = residentMiB(server.pid);
const status = await server.stop();

const mean = images.reduce((sum, { bytes }) => sum + bytes.length, 0) / images.length;
const { latency, requests, errors, timeouts, non2xx } = result;
const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
const lines: readonly (readonly [string, string])[] = [
  ['machine', `${cpus().length} CPUs, ${cpus()[0]?.model ?? ''}, Node.js ${process.version}`],
  [
    'load',
    `${connections} connections for ${seconds} s, ${images.length} images of ${whole(mean / 1024)} KiB on average`,
  ],
  ['answered', `${whole(requests.total)} (${whole(requests.average)} per second)`],
  [
    'latency',
    `median ${latency.p50} ms, 99% within ${latency.p99} ms, longest ${whole(latency.max)} ms`,
  ],
  ['failed', `${errors} errors, ${timeouts} timeouts, ${non2xx} answers that are not 200`],
  ['memory', `${whole(before)} MiB before, ${whole(after)} MiB after, at most ${whole(most)} MiB`],
];
for (const [name, text] of lines) console.log(`${name.padEnd(9)} ${text}`);
if (errors + timeouts + non2xx > 0 || requests.total === 0 || status !== 0) {
  console.error(`load: FAILED (the server ended with ${status})`);
  process.exitCode = 1;
}
