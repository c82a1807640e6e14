// Prunes the model of runs/dense by what its units do on images in memory, as docs/library.md shows it.
import { calibrationOf, evaluateModel, openModel, pruneOneShot, saveModel } from 'mamba-prune';
import { MemorySplit } from 'mamba-prune/data';

const { model, info } = await openModel('runs/dense');
const channels = 1; // or 3
const { imageSize: side } = model.config;
const labels = Array.from({ length: 200 }, (_, i) => i % info.classes.length);
const pixels = Uint8Array.from({ length: 200 * channels * side * side }, (_, i) => (7 * i) % 256);
const split = new MemorySplit(pixels, labels, channels * side * side);
const facts = { ...info, name: 'mine', channels, height: side, width: side } as const;
const dataset = { info: facts, train: split, test: split };

const calibration = calibrationOf(dataset, { batches: 2, seed: 0, device: 'cpu' });
const rates = { ssm: 0.5, mlp: 0.5 };
const cut = { importance: 'taylor', ranking: 'global', rates } as const;
const { model: pruned } = await pruneOneShot(model, cut, calibration);
for (const each of [model, pruned]) console.log((await evaluateModel(each, dataset)).accuracy);
saveModel('by-images.safetensors', pruned, info);
