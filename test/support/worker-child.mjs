// Loads the addon in several worker threads at once, one of which is stopped in the middle of its
// work. Run by fuzz.test.ts: node worker-child.mjs SRC
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

const src = isMainThread ? process.argv[2] : workerData.src;
const { memoryStats, ones, scope, tensor } = await import(pathToFileURL(`${src}/index.js`).href);

function work(n) {
  return scope(() => {
    const x = tensor([n, 2], { requiresGrad: true });
    x.mul(x).sum().backward();
    return x.grad.toNumbers()[0];
  });
}

if (!isMainThread) {
  if (workerData.forever) {
    parentPort.postMessage('running');
    for (;;) ones([1000]).add(1);
  }
  const results = [];
  for (let i = 0; i < 500; i++) results.push(work(i));
  ones([10]); // left to the end of the thread
  parentPort.postMessage(results.every((value, i) => value === 2 * i));
} else {
  const start = (forever) => new Worker(new URL(import.meta.url), { workerData: { src, forever } });
  const mine = ones([3]);
  const workers = [start(false), start(false)];
  const results = workers.map(async (worker) => (await once(worker, 'message'))[0]);
  const here = [];
  for (let i = 0; i < 500; i++) here.push(work(i));
  const same = await Promise.all(results);
  await Promise.all(workers.map((worker) => worker.terminate()));
  // Several times: stopped inside a native call, the thread can take no exception any more.
  for (let round = 0; round < 5; round++) {
    const endless = start(true);
    await once(endless, 'message');
    await endless.terminate();
  }
  const again = start(false);
  const [last] = await once(again, 'message');
  const { tensors } = memoryStats();
  process.stdout.write(
    JSON.stringify({
      same: [...same, last],
      here: here.every((v, i) => v === 2 * i),
      tensors,
      sum: mine.sum().item(),
    }),
  );
}
