// What a model card says of a model: where it comes from, what was cut from it, how good it is.
import type { ImageModel } from '../../models/image-model.js';
import { type ModelSummary, inspectModel } from '../../models/inspect.js';
import type { ModelInfo } from '../../models/model-file.js';
import { createModelFromConfig } from '../../models/registry.js';

type Step = ModelInfo['history'][number];

interface BeforeNow {
  readonly before: number;
  readonly now: number;
}

export interface CardFacts {
  readonly summary: ModelSummary;
  /** Units of each kind from which something was cut, in all groups together; empty for a dense model. */
  readonly units: readonly (BeforeNow & { readonly kind: string })[];
  readonly macs: BeforeNow;
  readonly parameters: BeforeNow;
  /** What the last step of the history measured, from 0 to 1; undefined where nothing was measured since the last cut. */
  readonly accuracy: number | undefined;
  /** Of the model that the first cut found. */
  readonly denseAccuracy: number | undefined;
  /** `owner/name` on the hub that the weights came from. */
  readonly baseModel: string | undefined;
}

export function factsOf(model: ImageModel, info: ModelInfo): CardFacts {
  const summary = inspectModel(model, info);
  const kinds = [...new Set(summary.groups.map(({ kind }) => kind))];
  const units = kinds
    .map((kind) => {
      const own = summary.groups.filter((group) => group.kind === kind);
      const sum = (of: 'denseWidth' | 'width'): number =>
        own.reduce((total, group) => total + group[of], 0);
      return { kind, before: sum('denseWidth'), now: sum('width') };
    })
    .filter(({ before, now }) => now < before);
  const dense = units.length > 0 ? denseCost(model, summary) : undefined;
  const { macs, parameters } = summary;
  return {
    summary,
    units,
    macs: { before: dense?.macs ?? macs, now: macs },
    parameters: { before: dense?.parameters ?? parameters, now: parameters },
    ...accuracies(info.history),
    baseModel: info.history.map(repositoryOf).findLast((name) => name !== undefined),
  };
}

/** Of the same model with the widths that it had before it was ever cut. */
function denseCost(
  { config }: ImageModel,
  { groups }: ModelSummary,
): { readonly macs: number; readonly parameters: number } | undefined {
  // A family of another module may keep its widths elsewhere.
  if (!('widths' in config) || typeof config.widths !== 'object') return undefined;
  const cut = groups.filter(({ width, denseWidth }) => width < denseWidth);
  const widths = Object.fromEntries(cut.map(({ name, denseWidth }) => [name, denseWidth]));
  const before = { ...config, widths: { ...config.widths, ...widths } };
  const dense = createModelFromConfig(before);
  try {
    const { macs, parameters } = inspectModel(dense);
    return { macs, parameters };
  } finally {
    dense.dispose();
  }
}

function accuracies(history: readonly Step[]): Pick<CardFacts, 'accuracy' | 'denseAccuracy'> {
  const measured = (step: Step | undefined): number | undefined =>
    typeof step?.['accuracy'] === 'number' ? step['accuracy'] : undefined;
  const firstCut = history.findIndex(({ step }) => step === 'prune');
  return {
    accuracy: measured(history.at(-1)),
    denseAccuracy: firstCut > 0 ? measured(history[firstCut - 1]) : undefined,
  };
}

const hubSource = /^hf:([\w.-]+\/[\w.-]+)/;
const inHubCache = /[/\\]models--(.+?)--(.+?)[/\\]snapshots[/\\]/;

/** What an import or a training began with, where that was of the hub; also of a history that is `published`. */
function repositoryOf({ source, from }: Step): string | undefined {
  for (const text of [source, from]) {
    const [, named] = typeof text === 'string' ? (hubSource.exec(text) ?? []) : [];
    if (named !== undefined) return named;
  }
  const [, owner, name] = typeof from === 'string' ? (inHubCache.exec(from) ?? []) : [];
  return owner !== undefined && name !== undefined ? `${owner}/${name}` : undefined;
}

/**
 * The information as everybody may read it: paths of the machine on which the model was made become names.
 * @param info - with its history
 */
export const published = (info: ModelInfo): ModelInfo => ({
  ...info,
  data: undefined,
  history: info.history.map((step) => {
    const { from } = step;
    if (typeof from !== 'string' || !/[/\\]/.test(from)) return step;
    const repository = repositoryOf(step);
    const name = from.split(/[/\\]/).at(-1);
    return { ...step, from: repository === undefined ? name : `hf:${repository}` };
  }),
});
