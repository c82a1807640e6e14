// The trained models of @mamba-prune/models as the page shows runs: the studio offers them while there are none.
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type BoxedModel,
  boxedArgument,
  boxedModelFile,
  boxedModelsIfAny,
  boxedPackage,
} from 'mamba-prune/internal';
import { z } from 'zod';
import type { Fact, RunData, RunMethod } from '../page-data/run.js';

export interface BoxedRuns {
  readonly runs: readonly RunData[];
  /** What they are, or why there are none though the package is there. */
  readonly notes: readonly string[];
}

/** None if the package is not installed. */
export function boxedRuns(): BoxedRuns {
  try {
    const runs = boxedModelsIfAny().map(runOf);
    if (runs.length === 0) return { runs, notes: [] };
    return {
      runs,
      notes: [
        `There are no runs here yet. These are the trained models of ${boxedPackage}; they go when the first run appears.`,
      ],
    };
  } catch (error) {
    return { runs: [], notes: [(error as Error).message] };
  }
}

const beforeSchema = z.object({
  parameters: z.number(),
  macs: z.number(),
  accuracy: z.number().nullable(),
});

/** What the page needs of a card. */
const cardSchema = z.object({
  notes: z.array(z.string()),
  pruning: z.object({ before: beforeSchema }).nullable(),
  training: z.object({
    commands: z.array(z.string()),
    created: z.string(),
    seed: z.number(),
    options: z.object({ epochs: z.number() }),
    versions: z.object({ mambaPrune: z.string(), libtorch: z.string() }),
  }),
});

function runOf(model: BoxedModel): RunData {
  const file = boxedModelFile(boxedArgument(model));
  const text = readFileSync(file.replace(/\.safetensors$/, '.json'), 'utf8');
  const { notes, pruning, training } = cardSchema.parse(JSON.parse(text));
  const { arch, dataset, parameters, macs, bytes, accuracy } = model;
  const before = pruning?.before;
  const command = training.commands.at(-1);
  const [note] = notes;
  return {
    id: model.name,
    path: dirname(file),
    file,
    method: methodOf(model),
    state: 'finished',
    created: training.created,
    arch,
    dataset: { name: dataset, note },
    seed: training.seed,
    repeat: command === undefined ? undefined : { cwd: '', line: command },
    facts: factsOf(model, training.versions),
    source: undefined,
    // The dense model is not in the package: what the card says of it is all there is.
    began: before && { run: undefined, model: `dense ${model.name}` },
    isDense: model.pruning === null,
    training: {
      epochs: training.options.epochs,
      warmupEpochs: 0,
      warmupShare: 0,
      recipe: '',
      isFromStart: false,
    },
    removed: model.pruning?.rates,
    accuracy,
    size: { parameters, macs, bytes },
    sizeBefore: before && { parameters: before.parameters, macs: before.macs, bytes: null },
    accuracyBefore: before?.accuracy ?? null,
    epochs: [],
    steps: [],
    phases: [],
    pruning: undefined,
  };
}

function methodOf({ pruning }: BoxedModel): RunMethod {
  const method = pruning?.method;
  return method === 'oneshot' || method === 'refill' || method === 'rsst' ? method : 'train';
}

function factsOf(
  model: BoxedModel,
  versions: { readonly mambaPrune: string; readonly libtorch: string },
): Fact[] {
  const rates = Object.entries(model.pruning?.rates ?? {});
  return [
    { name: 'model', value: boxedArgument(model) },
    ...rates.map(([kind, rate]) => ({ name: `rates.${kind}`, value: String(rate) })),
    { name: 'dtype', value: model.dtype },
    { name: 'mamba-prune', value: versions.mambaPrune },
    { name: 'libtorch', value: versions.libtorch },
  ];
}
