// Compares the kernels with plain loops for the instruction set that MAMBA_PRUNE_ISA names, which is
// read once per process. Run by kernels.test.ts: node kernel-child.mjs SRC
import { pathToFileURL } from 'node:url';

const [src] = process.argv.slice(2);
const { threadDifferences, worstOf } = await import(
  pathToFileURL(`${src}/nn/testing/compare-kernels.js`).href
);
const { blockThreadDifferences, worstOfBlock } = await import(
  pathToFileURL(`${src}/kernels/testing/compare-block.js`).href
);
const { compareInference } = await import(
  pathToFileURL(`${src}/kernels/testing/compare-inference.js`).href
);

const found = {
  block: { ...worstOfBlock(), threads: blockThreadDifferences() },
  inference: compareInference(),
};
for (const dtype of ['float64', 'float32']) {
  found[dtype] = { threads: threadDifferences(dtype) };
  for (const operator of ['scan', 'conv', 'gelu', 'rms'])
    found[dtype][operator] = worstOf(operator, dtype);
}
process.stdout.write(JSON.stringify(found));
