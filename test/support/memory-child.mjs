// A training loop that prints how much native memory it holds. Run by memory.test.ts in a process of its own, so that
// nothing else moves the number. node --expose-gc memory-child.mjs SRC LEAK STEPS CHECKPOINTS...
//
// LEAK is 1 to keep a tensor of every step, which the numbers have to show, or 0.
import { pathToFileURL } from 'node:url';

const [src, leak, ...numbers] = process.argv.slice(2);
const [steps, ...checkpoints] = numbers.map(Number);
const { F, manualSeed, memoryStats, nn, optim, randint, randn, scope, setNumThreads } =
  await import(pathToFileURL(`${src}/index.js`).href);

const { native } = await import(pathToFileURL(`${src}/native.js`).href);

setNumThreads(1); // the tensors are too small to share
manualSeed(1);
const model = new nn.Sequential(
  new nn.Linear(16, 64),
  new nn.GELU(),
  new nn.LayerNorm(64),
  new nn.Linear(64, 4),
);
const optimizer = new optim.AdamW(optim.decayGroups(model, 0.05), { lr: 1e-3 });

const seen = [];
const kept = [];
for (let step = 1; step <= steps; step++) {
  const loss = scope(() => {
    const logits = model.forward(randn([32, 16]));
    if (leak === '1') kept.push(logits.detach().clone().keep());
    const value = F.crossEntropy(logits, randint(0, 4, [32]));
    value.backward();
    optim.clipGradNorm(model.parameters(), 1);
    optimizer.step();
    optimizer.zeroGrad();
    return value.item();
  });
  if (checkpoints.includes(step)) {
    // What waits for the garbage collector is no leak. Finalizers run when the event loop turns.
    for (let i = 0; i < 3; i++) {
      globalThis.gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Not the resident memory: what V8 gives back leaves it late or never, differently in every Node.js.
    const bytes = native.mallocBytes();
    const nativeMiB = bytes === null ? null : bytes / 2 ** 20;
    const heapMiB = process.memoryUsage().heapUsed / 2 ** 20;
    seen.push({ step, loss, nativeMiB, heapMiB, ...memoryStats() });
  }
}
process.stdout.write(JSON.stringify(seen));
