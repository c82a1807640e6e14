// For tests: files that an earlier version wrote, in a folder of their own, with the images that they were made from.
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as libtorch from '@mamba-prune/libtorch';
import { arithmeticOf } from '../fixtures/earlier/arithmetic.mjs';
import { type ModelInfo, metadataKey } from '../models/model-file.js';
import type { CompareRequest } from '../workflows/compare/compare.js';
import { todaysSettings } from '../workflows/prune/earlier-names.js';

const fixtures = fileURLToPath(new URL('../fixtures/earlier/', import.meta.url));

/** Where they were made: the paths in them are of this folder. */
const home = '/tmp/earlier';

interface Expected {
  /** Fingerprint of the machine that made the files. */
  readonly arithmetic: string;
  /** Logits of two images, by the model's file. */
  readonly models: Readonly<Record<string, readonly number[]>>;
  /** What `eval` said of the finished runs. */
  readonly evaluated: Readonly<
    Record<string, { readonly accuracy: number; readonly loss: number }>
  >;
  /** Flags of the finished run of imp, and of the one that was stopped. */
  readonly impFlags: readonly string[];
  readonly request: CompareRequest;
}

export interface EarlierFiles {
  readonly folder: string;
  readonly at: (...path: string[]) => string;
  /** With the paths of this folder. */
  readonly expected: Expected;
  readonly remove: () => void;
}

/** A copy whose paths are those of the copy, as if the files had been made there. */
export function copyEarlierFiles(): EarlierFiles {
  const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-earlier-'));
  const at = (...path: string[]): string => join(folder, ...path);
  cpSync(fixtures, folder, { recursive: true });
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.jsonl?$/.test(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(home, folder));
  }
  writeImages(at('images'), readFileSync(at('images.bin')));
  const expected = JSON.parse(readFileSync(at('expected.json'), 'utf8')) as Expected;
  return {
    folder,
    at,
    expected,
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function writeImages(folder: string, pixels: Buffer): void {
  let next = 0;
  for (const [part, count] of [
    ['train', 16],
    ['test', 8],
  ] as const) {
    for (const name of ['left', 'right']) {
      mkdirSync(join(folder, part, name), { recursive: true });
      for (let i = 0; i < count; i++, next++) {
        const values = pixels.subarray(next * 64, (next + 1) * 64);
        const file = Buffer.concat([Buffer.from('P5\n8 8\n255\n'), values]);
        writeFileSync(join(folder, part, name, `${i}.pgm`), file);
      }
    }
  }
}

/** The two images whose logits are known: float32 [2, 3, 8, 8]. */
export function knownImages({ at }: EarlierFiles): libtorch.Tensor {
  const pixels = readFileSync(at('images.bin')).subarray(0, 2 * 3 * 64);
  const values = Float32Array.from(pixels, (value) => value / 255);
  return libtorch.fromTypedArray(values, [2, 3, 8, 8]);
}

/** Whether this machine computes the same bits as the one that made the files. */
export function hasSameArithmetic({ expected }: EarlierFiles): boolean {
  return arithmeticOf(libtorch) === expected.arithmetic;
}

export interface ModelContent {
  readonly values: Readonly<Record<string, readonly number[]>>;
  readonly description: unknown;
}

/** Tensors of a model file, and what it says of them, with the paths that it has where it was made and today's names. */
export function contentOf(path: string, folder: string): ModelContent {
  const { tensors, metadata } = libtorch.loadSafetensors(path);
  const values = Array.from(tensors, ([name, tensor]): [string, number[]] => {
    const numbers = tensor.toNumbers();
    tensor.dispose();
    return [name, numbers];
  });
  const text = metadata[metadataKey]?.replaceAll(folder, home) ?? '{}';
  const { history, ...rest } = JSON.parse(text) as ModelInfo;
  // Steps of before are kept as they are written; those that are added have other names.
  const description = { ...rest, history: history.map((step) => todaysSettings(step)) };
  return { values: Object.fromEntries(values), description };
}

/** The largest difference between numbers of the same name and place; infinite if they do not pair. */
export function largestDifference(a: ModelContent, b: ModelContent): number {
  const names = new Set([...Object.keys(a.values), ...Object.keys(b.values)]);
  return Array.from(names).reduce((most, name) => {
    const [left, right] = [a.values[name], b.values[name]];
    if (left?.length !== right?.length || left === undefined) return Infinity;
    return left.reduce(
      (max, value, i) => Math.max(max, Math.abs(value - (right?.[i] ?? NaN))),
      most,
    );
  }, 0);
}
