// What config.json says of the arithmetic of a model, where no shape of its weights tells it: functions, strides and
// poolings without parameters. Weights run without them give other results, and no error.
import { z } from 'zod';
import { printableLine } from '../printable.js';

/** What no model here computes. */
export interface CardObstacle {
  /** Of the models that it is about; the config.json beside weights of another family is not theirs. */
  readonly family: 'vit' | 'resnet';
  /** Behind 'a ResNet with', with the entry that says so. */
  readonly what: string;
}

/** Whose model a config.json describes, as far as its names tell. */
export function cardFamily(json: unknown): CardObstacle['family'] | undefined {
  const { data } = schema.safeParse(json);
  const name = data?.architecture ?? data?.model_type ?? '';
  if (/^(?:vit|deit3?|flexivit|dinov2)(?:_|$)/.test(name)) return 'vit';
  return /resnet/.test(name) ? 'resnet' : undefined;
}

const text = z.string().optional().catch(undefined);
const entry = z.unknown().optional();

const schema = z.object({
  // timm
  architecture: text,
  global_pool: text,
  model_args: z.object({ act_layer: entry, aa_layer: entry, output_stride: entry }).catch({}),
  // transformers
  model_type: text,
  layer_type: text,
  hidden_act: text,
  downsample_in_bottleneck: entry,
});

const shown = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value);

/** @param json - of config.json; anything else than expected says nothing */
export function cardObstacles(json: unknown): CardObstacle[] {
  const { data } = schema.safeParse({
    model_args: {},
    ...(typeof json === 'object' ? json : undefined),
  });
  const family = cardFamily(json);
  if (!data || family === undefined) return [];
  const { architecture = '', model_args: args } = data;
  const usual = family === 'vit' ? 'gelu' : 'relu';
  const said = (name: string, value: unknown, expected: unknown, what: string): string[] =>
    value === undefined || value === null || value === expected
      ? []
      : [`${what} (${name} ${printableLine(shown(value))})`];
  const named = (pattern: RegExp, what: string): string[] =>
    pattern.test(architecture) ? [`${what} (architecture ${printableLine(architecture)})`] : [];
  const activation = `another function than ${usual} between its layers`;
  const all = said('act_layer', args.act_layer, usual, activation);
  if (family === 'vit') {
    all.push(
      ...named(/quickgelu/, activation),
      ...named(/_rpn(?:_|$)/, 'its norms behind the layers'),
    );
    if (!['', 'avg', 'token'].includes(data.global_pool ?? '')) {
      all.push(...said('global_pool', data.global_pool, '', 'another pooling than token or mean'));
    }
  } else {
    all.push(
      ...named(/resnetaa|resnetblur/, 'pooling against aliasing'),
      ...said('aa_layer', args.aa_layer, '', 'pooling against aliasing'),
      ...said('output_stride', args.output_stride, 32, 'other strides'),
      ...said('hidden_act', data.hidden_act, usual, activation),
    );
    if (data.layer_type !== 'basic') {
      const what = 'the stride of its bottlenecks in the first 1x1 convolution';
      all.push(...said('downsample_in_bottleneck', data.downsample_in_bottleneck, false, what));
    }
  }
  return all.map((what) => ({ family, what }));
}
