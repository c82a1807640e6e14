// What a user's first program does; compiled and run in the empty project, from the installed packages.
import { writeFileSync } from 'node:fs';
import { type Tensor, scope, tensor } from '@mamba-prune/libtorch';
import { type ImageModel, createModel, loadModel, pruneOneShot, saveModel } from 'mamba-prune';

function check(what: string, got: number, expected: number): void {
  if (got !== expected) throw new Error(`${what}: got ${got}, expected ${expected}`);
}

const [path = 'tiny.safetensors'] = process.argv.slice(2);

const x: Tensor = tensor([1, 2, 3], { requiresGrad: true });
scope(() => {
  x.mul(x).sum().backward();
});
const [, , last] = x.grad?.toArray() as number[];
check('d/dx of x * x at 3', last ?? NaN, 6);

const dense: ImageModel = createModel('mamba_nano', {
  dModel: 8,
  depth: 1,
  imageSize: 8,
  channels: 1,
  numClasses: 2,
});
const { model } = await pruneOneShot(dense, {
  importance: 'l2',
  ranking: 'layer',
  rates: { mlp: 0.5 },
});
saveModel(path, model, { classes: ['a', 'b'], mean: [0.5], std: [0.5], history: [] });
const parameters = model.numParameters();
check('parameters after loading', loadModel(path).model.numParameters(), parameters);
check('MLP neurons left', model.pruningGroups().find(({ kind }) => kind === 'mlp')?.size ?? 0, 16);
writeFileSync(path.replace('.safetensors', '.json'), JSON.stringify({ parameters }));
