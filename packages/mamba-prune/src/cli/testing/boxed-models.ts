// For tests: a folder in the form of the package of trained models, with models of the tests' own.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { digestFile } from '@mamba-prune/libtorch/files';
import { type BoxedModel, boxedPackage } from '../../boxed-models.js';
import type { ImageModel } from '../../models/image-model.js';
import { inspectModel } from '../../models/inspect.js';
import { type ModelInfo, saveModel } from '../../models/model-file.js';

export interface BoxedForTest {
  readonly name: string;
  readonly model: ImageModel;
  readonly info: ModelInfo;
  /** Of a model that is said to be pruned. */
  readonly pruning?: BoxedModel['pruning'];
}

/** As much of a card as the studio reads. */
const cardOf = (name: string, pruning: BoxedModel['pruning']) => ({
  notes: [`A note on ${name}.`],
  pruning: pruning && { before: { parameters: 4000, macs: 50_000, accuracy: 0.8 } },
  training: {
    commands: ['mamba-prune train --out runs/a', `mamba-prune prune runs/a --out runs/${name}`],
    created: '2026-11-29T00:00:00.000Z',
    seed: 3,
    options: { epochs: 2 },
    versions: { mambaPrune: '0.1.0', libtorch: '2.9.0' },
  },
});

/** Writes weights in bfloat16, cards and the index; `MAMBA_PRUNE_MODELS` is then to name the folder. */
export function writeBoxedModels(folder: string, models: readonly BoxedForTest[]): void {
  const entries = models.map(({ name, model, info, pruning = null }): BoxedModel => {
    const file = `files/${name}.safetensors`;
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    saveModel(path, model, info, { dtype: 'bfloat16' });
    const { arch, input, parameters, macs } = inspectModel(model, info);
    const [channels, imageSize] = input;
    const [dataset = ''] = name.split('/');
    writeFileSync(path.replace('.safetensors', '.json'), JSON.stringify(cardOf(name, pruning)));
    return {
      name,
      file,
      card: `files/${name}.json`,
      arch,
      dataset,
      classes: info.classes.length,
      imageSize,
      channels,
      pruning,
      parameters,
      macs,
      accuracy: 0.75,
      dtype: 'bfloat16',
      ...digestFile(path),
    };
  });
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ format: 1, models: entries }));
  const manifest = {
    name: boxedPackage,
    version: '0.1.0',
    exports: { './package.json': './package.json' },
  };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
}
