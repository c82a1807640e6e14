// What the projects that published an architecture have computed: a small checkpoint of random weights that their trainer
// wrote, images with what their code makes of them, and the names and shapes of their full size.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Tensor, noGrad } from '@mamba-prune/libtorch';
import { goldenCase } from './parity.js';

export interface PublishedCase {
  /** Path of the checkpoint. */
  readonly checkpoint: string;
  /** Images, and what the published code computes of them in float64. */
  readonly expected: (name: string) => Tensor;
  /** Of the full size: shapes by name, and the number of parameters. */
  readonly fullSize: {
    readonly shapes: Readonly<Record<string, readonly number[]>>;
    readonly parameters: number;
  };
  /** Path of another file of the case. */
  readonly file: (name: string) => string;
}

/** @param family - the folder of the family, which has the case in its fixtures */
export function publishedCase(family: 'vim' | 'vmamba'): PublishedCase {
  const file = (name: string): string => join(import.meta.dirname, '..', family, 'fixtures', name);
  const { state_dict: shapes, parameters } = JSON.parse(
    readFileSync(file('tiny-names.json'), 'utf8'),
  ) as {
    readonly state_dict: Readonly<Record<string, readonly number[]>>;
    readonly parameters: number;
  };
  const io = goldenCase(`../${family}/fixtures/io.safetensors`);
  return {
    checkpoint: file('checkpoint.pth'),
    expected: (name) => io.get(name),
    fullSize: { shapes, parameters },
    file,
  };
}

/** Logits, without gradients. */
export const run = (model: { forward(images: Tensor): Tensor }, images: Tensor): Tensor =>
  noGrad(() => model.forward(images));
