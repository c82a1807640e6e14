// What a file of torch.save says beside the weights that are taken from it.
import { TorchCheckpoint } from '@mamba-prune/libtorch/files';
import { isShardIndex } from '../../shard-names.js';
import { chooseStateDict } from './choice.js';
import { joinedShapes } from './derived.js';
import { fileKind, foundDict } from './file.js';
import { type ModuleWords, moduleWords } from './module-words.js';
import { telling } from './read.js';
import { CheckpointWords } from './words.js';

export interface FileWords {
  readonly words: CheckpointWords;
  /** Of a whole pickled module. */
  readonly modules?: ModuleWords | undefined;
}

/**
 * Files of other kinds say nothing, and damaged ones neither: reading the weights says why.
 * @param key - as for `importModel`
 */
export async function wordsIn(path: string, key?: string): Promise<FileWords> {
  const none = { words: new CheckpointWords(new Map()) };
  if (isShardIndex(path)) return none;
  if (!['torch-zip', 'torch-legacy'].includes(fileKind(path).format)) return none;
  let file: TorchCheckpoint;
  try {
    file = await TorchCheckpoint.open(path, { onUnknownGlobal: 'placeholder' });
  } catch {
    return none;
  }
  try {
    const modules = modulesOf(file, key);
    return { words: CheckpointWords.of(file, modules?.holders), modules };
  } finally {
    file.close();
  }
}

function modulesOf(file: TorchCheckpoint, key: string | undefined): ModuleWords | undefined {
  const dicts = file.stateDicts.map(foundDict);
  if (dicts.every(({ modules }) => modules === undefined)) return undefined;
  try {
    const choice = chooseStateDict(dicts, telling, key);
    const shapes = Array.from(
      choice.names,
      ([name, stored]) => [name, choice.dict.shapes.get(stored) ?? []] as const,
    );
    // Of other models nothing is known, and reading the weights says so.
    return telling.isModel(joinedShapes(new Map(shapes))) ? moduleWords(choice) : undefined;
  } catch {
    return undefined;
  }
}
