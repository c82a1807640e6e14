// What a file says beside the weights that are taken from it.
import type { Choice, FoundDict } from './choice.js';
import { joinedShapes } from './derived.js';
import type { WeightsFile } from './file.js';
import { type ModuleWords, moduleWords } from './module-words.js';
import { telling } from './read.js';
import { CheckpointWords } from './words.js';

export interface FileWords {
  readonly words: CheckpointWords;
  /** Of a whole pickled module. */
  readonly modules?: ModuleWords | undefined;
}

/** @returns no words for a file of a kind that has no place for any */
export function wordsOf(file: WeightsFile, choice: Choice<FoundDict>): FileWords {
  // Of other models nothing is known, and reading the weights says so.
  const shapes = joinedShapes(shapesOf(choice));
  const modules = telling.isModel(shapes)
    ? moduleWords(choice, telling.classifierNames?.(shapes))
    : undefined;
  return { words: file.words?.(modules?.holders) ?? new CheckpointWords(new Map()), modules };
}

const shapesOf = ({ dict, names }: Choice<FoundDict>): Map<string, readonly number[]> =>
  new Map(Array.from(names, ([name, stored]) => [name, dict.shapes.get(stored) ?? []]));
