// What is said of a model where no shape of its tensors tells it, by the config.json beside weights or by the file itself: timm's
// and transformers' entries, and what a family makes of them.
import { z } from 'zod';
import { printableLine } from '../../printable.js';
import type { VitPooling } from '../vit/config.js';

/** Names of the files, as libraries look for them beside the weights. */
export const cardFiles = ['config.json', 'preprocessor_config.json'] as const;

/** What the files beside weights say; nothing but what they say. */
export interface ModelCardConfig {
  /** Per channel, of pixel values scaled to [0, 1]. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** Names of the classes, in the order of the logits. */
  readonly classes?: readonly string[];
  /** One of ours. */
  readonly arch?: string;
  /** Of a ViT, before it was ever pruned. */
  readonly heads?: number;
  /** Of a ViT: width of a head, where heads are fewer or narrower than they were. */
  readonly headDim?: number;
  /** Of a ViT: what its classifier reads. */
  readonly pooling?: VitPooling;
  /** Side of the images in pixels. */
  readonly imageSize?: number;
  readonly interpolation?: 'bilinear' | 'bicubic';
  /** Side of the cut-out over the shorter side that images are resized to, in (0, 1]. */
  readonly cropShare?: number;
  readonly layerNormEps?: number;
  /** Of the neurons, as transformers calls it: `gelu` and others. */
  readonly activation?: string;
  /** Which of the files has said an entry. */
  readonly from: Readonly<Partial<Record<Exclude<keyof ModelCardConfig, 'from'>, string>>>;
}

const text = z.string().optional().catch(undefined);
const entry = z.unknown().optional();
const count = z.int().positive().optional().catch(undefined);

const schema = z.object({
  // timm
  architecture: text,
  global_pool: text,
  model_args: z
    .object({
      num_heads: count,
      global_pool: text,
      act_layer: entry,
      aa_layer: entry,
      output_stride: entry,
    })
    .default({})
    .catch({}),
  // transformers
  model_type: text,
  layer_type: text,
  hidden_act: text,
  downsample_in_bottleneck: entry,
  downsample_in_first_stage: entry,
});

/** The entries that families look at; what is of another form than expected is not there. */
export type CardEntries = z.infer<typeof schema>;

/** @returns undefined for what is no object */
export const cardEntries = (json: unknown): CardEntries | undefined => schema.safeParse(json).data;

/** What timm or transformers call a model; empty where the file does not say. */
export const cardName = ({ architecture, model_type: type }: CardEntries): string =>
  architecture ?? type ?? '';

/** What a family makes of config.json. */
export interface FamilyCard {
  /** Names of architectures in timm, or types of models in transformers, that are of the family. */
  readonly names: RegExp;
  /** An architecture here, by its name in timm without the size of patches; the same name where it is not said. */
  architecture?(name: string): string;
  /**
   * What the entries say of options that no shape tells.
   * @param arch - the architecture here that they name, if there is one
   */
  hints?(
    card: CardEntries,
    arch?: string,
  ): {
    readonly heads?: number | undefined;
    readonly pooling?: VitPooling | undefined;
  };
  /** What no model here computes, to stand behind 'a ResNet with'. */
  obstacles(card: CardEntries): string[];
  /** The function between its layers, as transformers calls it in `hidden_act`, where another one is an error. */
  readonly activation?: string;
}

const shown = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value);

/** An obstacle unless an entry is missing or as expected, with the entry that says so. */
export const said = (name: string, value: unknown, expected: unknown, what: string): string[] =>
  value === undefined || value === null || value === expected
    ? []
    : [`${what} (${name} ${printableLine(shown(value))})`];

/** An obstacle that the name of the architecture tells. */
export const named = (
  { architecture = '' }: CardEntries,
  pattern: RegExp,
  what: string,
): string[] =>
  pattern.test(architecture) ? [`${what} (architecture ${printableLine(architecture)})`] : [];
