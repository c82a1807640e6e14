// Lets the model of runs/dense answer for a batch of pixels, as docs/library.md shows it.
import { fromTypedArray, noGrad, scope } from '@mamba-prune/libtorch';
import { loadModel } from 'mamba-prune';

const { model, info } = loadModel('runs/dense/model.safetensors');
const { channels, imageSize: side } = model.config;
const pixels = Float32Array.from({ length: 8 * channels * side * side }, () => Math.random());
const statistics = (values: readonly number[]) =>
  fromTypedArray(Float32Array.from(values), [1, channels, 1, 1]);
const answers = scope(() =>
  noGrad(() => {
    const images = fromTypedArray(pixels, [8, channels, side, side]);
    const normalised = images.sub(statistics(info.mean)).div(statistics(info.std));
    return model.forward(normalised).argmax(1).toNumbers();
  }),
);
console.log(answers.map((answer) => info.classes[answer]));
