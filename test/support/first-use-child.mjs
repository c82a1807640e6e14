// Sums 1 + 2 with a tensor, twice, and prints what came of it: the sum, or the error's class and message. For
// first-use.test.ts. node first-use-child.mjs SRC [THREADS]: with THREADS, in so many worker threads at once.
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';

const [src, threads = '0'] = process.argv.slice(2);

async function sum() {
  const { tensor } = await import(pathToFileURL(`${src}/index.js`).href);
  const once = () => {
    try {
      return String(tensor([1, 2]).sum().item());
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
  };
  const first = once();
  const second = once();
  return second === first ? first : `${first}, then ${second}`;
}

function inThread() {
  const worker = new Worker(fileURLToPath(import.meta.url), { argv: [src] });
  return new Promise((resolve, reject) => {
    worker.on('message', resolve);
    worker.on('error', reject);
  });
}

if (!isMainThread) {
  parentPort.postMessage(await sum());
} else {
  const said = threads === '0' ? [await sum()] : Array.from({ length: Number(threads) }, inThread);
  process.stdout.write((await Promise.all(said)).join());
}
