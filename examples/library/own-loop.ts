// docs/library.md prints it: a training loop and a loss of one's own.
import { F, fromTypedArray, optim, scope } from '@mamba-prune/libtorch';
import { loadModel, saveModel } from 'mamba-prune';
import { BatchLoader, MemorySplit } from 'mamba-prune/data';

const { model, info } = loadModel('runs/dense/model.safetensors');
const { channels, imageSize: side, numClasses } = model.config;
const labels = Array.from({ length: 100 }, (_, i) => i % numClasses);
const pixels = Uint8Array.from({ length: 100 * channels * side * side }, (_, i) => (7 * i) % 256);
const split = new MemorySplit(pixels, labels, channels * side * side);
const facts = {
  ...info,
  name: 'mine',
  channels: channels === 1 ? 1 : 3,
  height: side,
  width: side,
} as const;

const loader = new BatchLoader(split, facts, {
  batchSize: 20,
  shuffle: true,
  augment: { flip: true },
});
using optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
model.train();
for (let epoch = 0; epoch < 2; epoch++) {
  for await (const batch of loader.epoch(epoch)) {
    const loss = scope(() => {
      const images = fromTypedArray(batch.images, [batch.size, channels, side, side]);
      const answers = fromTypedArray(batch.labels, [batch.size]).to('int64');
      const logits = model.forward(images);
      const value = F.crossEntropy(logits, answers).add(logits.square().mean().mul(0.01));
      optimizer.zeroGrad();
      value.backward();
      optimizer.step();
      return value.item();
    });
    console.log(epoch, loss);
  }
}
saveModel('trained.safetensors', model.eval(), info);
