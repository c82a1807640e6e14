// Computes under a storm of signals, forward and backward. Run by signals.test.ts:
// node signals-child.mjs SRC THREADS SIGNALS
// Prints the results without and with the signals, how many were handled, and which threads take them.
import { readFileSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

const tasks = () => readdirSync('/proc/self/task');
const before = new Set(tasks());

const { manualSeed, nn, randn, scope, setNumThreads } = await import(
  pathToFileURL(`${process.argv[2]}/index.js`).href
);
const [threads, wanted] = process.argv.slice(3).map(Number);
setNumThreads(threads);
manualSeed(1);
// A product that oneDNN computes for us, one that libtorch's own operators do, and a convolution.
const linear = new nn.Linear(128, 20);
const conv = new nn.Conv2d(8, 16, 3, { padding: 1 });
const [x, y, images] = [randn([32, 49, 128]), randn([20, 20]), randn([16, 8, 12, 12])];
const parameters = [...linear.parameters(), ...conv.parameters()];

/** One step: the loss, and the sum of every gradient. */
const step = () =>
  scope(() => {
    for (const parameter of parameters) parameter.grad = null;
    const loss = linear.forward(x).matmul(y).sum().add(conv.forward(images).relu().sum());
    loss.backward();
    return [loss, ...parameters.map(({ grad }) => grad.sum())].map((t) => t.item()).join(' ');
  });

const calm = step();
let handled = 0;
for (const name of ['SIGUSR2', 'SIGWINCH', 'SIGHUP']) process.on(name, () => (handled += 1));

const sender = new Worker(
  `const { workerData: { pid, wanted } } = require('node:worker_threads');
   const clock = new Int32Array(new SharedArrayBuffer(4));
   for (let i = 0; i < wanted; i++) {
     process.kill(pid, ['SIGUSR2', 'SIGWINCH', 'SIGHUP'][i % 3]);
     Atomics.wait(clock, 0, 0, 0.2);
   }`,
  { eval: true, workerData: { pid: process.pid, wanted } },
);
let sending = true;
sender.on('exit', () => (sending = false));
const stormy = new Set();
while (sending) {
  for (let i = 0; i < 10; i++) stormy.add(step());
  await setImmediate();
}

const asynchronous = ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGALRM']
  .map((name) => 1n << BigInt(constants.signals[name] - 1))
  .reduce((mask, bit) => mask | bit);
const threadsSeen = tasks()
  .filter((id) => !before.has(id) || id === String(process.pid))
  .map((id) => {
    const status = readFileSync(`/proc/self/task/${id}/status`, 'utf8');
    const field = (name) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
    const blocked = BigInt(`0x${field('SigBlk')}`) & asynchronous;
    return { name: field('Name'), takes: blocked !== asynchronous };
  });
process.stdout.write(JSON.stringify({ calm, stormy: [...stormy], handled, threads: threadsSeen }));
