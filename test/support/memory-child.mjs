// A training loop that prints its resident memory. Run by memory.test.ts in a process of its own, so
// that nothing else moves the number. node memory-child.mjs SRC STEPS CHECKPOINTS...
import { pathToFileURL } from 'node:url';

const [src, ...numbers] = process.argv.slice(2);
const [steps, ...checkpoints] = numbers.map(Number);
const { F, manualSeed, memoryStats, nn, optim, randint, randn, scope, setNumThreads } =
  await import(pathToFileURL(`${src}/index.js`).href);

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
for (let step = 1; step <= steps; step++) {
  const loss = scope(() => {
    const value = F.crossEntropy(model.forward(randn([32, 16])), randint(0, 4, [32]));
    value.backward();
    optim.clipGradNorm(model.parameters(), 1);
    optimizer.step();
    optimizer.zeroGrad();
    return value.item();
  });
  if (checkpoints.includes(step)) {
    // Resident memory beside V8's heap, which breathes with the garbage collector.
    const { rss, heapTotal } = process.memoryUsage();
    const nativeMiB = (rss - heapTotal) / 2 ** 20;
    seen.push({ step, loss, nativeMiB, heapMiB: heapTotal / 2 ** 20, ...memoryStats() });
  }
}
process.stdout.write(JSON.stringify(seen));
