// What lies beside weights and says what their tensors do not: config.json of timm and transformers, and
// preprocessor_config.json of transformers. None of these files has a format that anything promises, so
// an entry of another form than expected is passed over as if it were not there.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readTextFile } from '@mamba-prune/libtorch/files';
import { z } from 'zod';
import { defined } from '../defined.js';
import { type ModelCardConfig, cardFiles } from '../models/import/card.js';
import {
  type CardObstacle,
  archOfCard,
  cardHints,
  cardObstacles,
} from '../models/import/card-family.js';

/** What config.json beside a file of weights says that no model here computes. */
export const obstaclesBeside = (path: string): readonly CardObstacle[] =>
  cardObstacles(read(join(dirname(path), cardFiles[0])));

/** Config files are a few KB; with the names of 21,000 classes a MB or two. */
export const largestCardFile = 16 * 2 ** 20;

/**
 * Reads what there is beside a file of weights.
 * @param path - of the weights; neither they nor the files beside them need to be there
 */
export function besideFile(path: string): ModelCardConfig {
  const folder = dirname(path);
  const [config, preprocessor] = cardFiles.map((name) => read(join(folder, name)));
  const found = [
    // What prepares the images knows best how they are prepared.
    [cardFiles[1], preprocessorOf(preprocessor)],
    [cardFiles[0], timmOf(config)],
    [cardFiles[0], transformersOf(config)],
  ] as const;
  const result: Record<string, unknown> = {};
  const from: Record<string, string> = {};
  for (const [file, entries] of found) {
    for (const [name, value] of Object.entries(entries)) {
      if (value === undefined || name in result) continue;
      result[name] = value;
      from[name] = file;
    }
  }
  return { ...(result as Entries), from };
}

type Entries = Omit<ModelCardConfig, 'from'>;
type Found = { readonly [K in keyof Entries]: Entries[K] | undefined };

const number = z.number().optional().catch(undefined);
const count = z.int().positive().optional().catch(undefined);
const text = z.string().optional().catch(undefined);
const flag = z.boolean().optional().catch(undefined);
const numbers = z.array(z.number()).min(1).optional().catch(undefined);
const strings = z.array(z.string()).min(1).optional().catch(undefined);
const share = z.number().gt(0).max(1).optional().catch(undefined);

/** One number, or sides by name: `{height, width}`, `{shortest_edge}`. */
const size = z
  .union([
    z.int().positive(),
    z.object({ shortest_edge: z.int().positive() }).transform((sides) => sides.shortest_edge),
    z
      .object({ height: z.int().positive(), width: z.int().positive() })
      .refine(({ height, width }) => height === width)
      .transform(({ height }) => height),
  ])
  .optional()
  .catch(undefined);

/** One side, or a frame of two, which pictures of another form are squeezed into. */
const frame = z.object({ height: z.int(), width: z.int() });

const resized = flag.refine((resizes) => resizes !== false);

const squeezing = z.union([
  z.object({ size: frame, do_resize: resized }),
  // Older extractors of ViTs meant a square by one number; those that crop mean the shorter side.
  z.object({
    size: z.int(),
    do_resize: resized,
    do_center_crop: flag.refine((crops) => crops !== true),
    crop_pct: z.undefined().optional(),
  }),
]);

const squashing = z.object({ pretrained_cfg: z.object({ crop_mode: z.literal('squash') }) });

/**
 * The file beside weights that says that pictures were squeezed into a square, whatever their form; undefined if none does.
 * Here the shorter side is resized and the centre cut out.
 */
export function squeezedBeside(path: string): string | undefined {
  const [config, preprocessor] = cardFiles.map((name) => read(join(dirname(path), name)));
  if (squeezing.safeParse(preprocessor).success) return cardFiles[1];
  return preprocessor === undefined && squashing.safeParse(config).success
    ? cardFiles[0]
    : undefined;
}

const preprocessorSchema = z.object({
  image_mean: numbers,
  image_std: numbers,
  do_normalize: flag,
  do_rescale: flag,
  rescale_factor: z.number().positive().optional().catch(undefined),
  do_resize: flag,
  do_center_crop: flag,
  size,
  crop_size: size,
  crop_pct: share,
  resample: number,
});

function preprocessorOf(json: unknown): Partial<Found> {
  const { data } = preprocessorSchema.safeParse(json);
  if (!data) return {};
  const { size: resized, crop_size: cropped, do_center_crop: crops } = data;
  const cut = crops === false ? undefined : cropped;
  const normalizes = data.do_normalize !== false;
  const channels = data.image_mean?.length ?? 3;
  const pixels = (value: number): number[] => Array.from({ length: channels }, () => value);
  const scaled = inUnits(data);
  return {
    mean: scaled(normalizes ? data.image_mean : pixels(0)),
    std: scaled(normalizes ? data.image_std : pixels(1)),
    // Numbers of Pillow's filters.
    interpolation: ({ 2: 'bilinear', 3: 'bicubic' } as const)[data.resample ?? NaN],
    imageSize: cut ?? resized,
    cropShare: data.crop_pct ?? shareOf(cut, resized, crops),
  };
}

/**
 * Mean and deviation for pixels from 0 to 1, of those for the pixels that the file makes:
 * (255 f p - mean) / std = (p - mean / (255 f)) / (std / (255 f)), with the factor f, for p from 0 to 1.
 */
function inUnits({
  do_rescale: scales,
  rescale_factor: factor = 1 / 255,
}: z.infer<typeof preprocessorSchema>): (values?: number[]) => number[] | undefined {
  const range = 255 * (scales === false ? 1 : factor);
  // The factor has been through a decimal number.
  if (Math.abs(range - 1) < 1e-6) return (values) => values;
  return (values) => values?.map((value) => value / range);
}

/** Nothing is cut off where nothing is cropped. */
function shareOf(
  cut: number | undefined,
  resized: number | undefined,
  crops: boolean | undefined,
): number | undefined {
  if (resized === undefined) return undefined;
  if (cut === undefined) return crops === true ? undefined : 1;
  return cut <= resized ? cut / resized : undefined;
}

const pretrained = {
  mean: numbers,
  std: numbers,
  interpolation: z.enum(['bilinear', 'bicubic']).optional().catch(undefined),
  crop_pct: share,
  input_size: z.tuple([count, count, count]).optional().catch(undefined),
  label_names: strings,
};

/** timm writes `pretrained_cfg`; before 0.9 its entries lay at the top. */
const timmSchema = z.object({
  ...pretrained,
  architecture: z.string(),
  pretrained_cfg: z.object(pretrained).optional().catch(undefined),
});

function timmOf(json: unknown): Partial<Found> {
  const { data } = timmSchema.safeParse(json);
  if (!data) return {};
  const { architecture, pretrained_cfg: nested = {} } = data;
  const { mean, std, interpolation, crop_pct, input_size, label_names } = {
    ...data,
    ...defined(nested),
  };
  const [, height, width] = input_size ?? [];
  const arch = archOfCard(architecture);
  return {
    arch,
    ...cardHints(json, arch),
    mean,
    std,
    interpolation,
    cropShare: crop_pct,
    imageSize: height === width ? height : undefined,
    classes: label_names,
  };
}

const transformersSchema = z.object({
  id2label: z.record(z.string().regex(/^\d+$/), z.string()).optional().catch(undefined),
  num_attention_heads: count,
  layer_norm_eps: number,
  hidden_act: text,
  image_size: size,
});

function transformersOf(json: unknown): Partial<Found> {
  const { data } = transformersSchema.safeParse(json);
  if (!data) return {};
  return {
    classes: labels(data.id2label),
    heads: data.num_attention_heads,
    layerNormEps: data.layer_norm_eps,
    activation: data.hidden_act,
    imageSize: data.image_size,
  };
}

/** In the order of the numbers; none where one is missing, or all are the names that mean nothing. */
function labels(id2label: Readonly<Record<string, string>> | undefined): string[] | undefined {
  const names = Object.entries(id2label ?? {});
  const ordered = names.map((_, i) => id2label?.[String(i)]);
  const known = ordered.filter((name) => name !== undefined);
  if (known.length === 0 || known.length !== ordered.length) return undefined;
  return known.every((name) => /^LABEL_\d+$/.test(name)) ? undefined : known;
}

/** Of our runs too, whose config.json has none of these entries. */
function read(path: string): unknown {
  try {
    if (!existsSync(path)) return undefined;
    return JSON.parse(readTextFile(path));
  } catch {
    return undefined;
  }
}
