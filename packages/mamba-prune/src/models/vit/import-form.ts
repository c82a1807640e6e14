// From the forms of ViTs that timm's names allow to the one that model.ts computes: everything that can be folded
// into a weight, or expressed by zeros, is.
import { FormatError, type Tensor, cat, noGrad } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import type { LayoutOptions } from '../import/layout.js';
import { fewerPositions } from './fewer-positions.js';
import type { VitNames } from './import-names.js';
import { type PositionQuestion, readPositions } from '../import/positions.js';
import { ShapeReader, missingClassifier } from '../import/shapes.js';
import type { StateDict } from '../import/state-dict.js';
import type { VitConfig, VitPooling } from './config.js';

/** What a state dict tells of a ViT beside the widths of its blocks. */
export interface VitTraits {
  readonly dModel: number;
  readonly depth: number;
  readonly patchSize: number;
  readonly imageSize: number;
  /** Fields in which it is not timm's plain model. */
  readonly config: Pick<
    VitConfig,
    'classToken' | 'distilled' | 'registers' | 'pooling' | 'poolsBeforeNorm'
  >;
  /** Whether the class token's position is zero, as where positions are computed and not trained. */
  readonly fixedPositions: boolean;
  readonly assumed: readonly string[];
}

/** Whose names the tensors had. */
export interface VitSource {
  readonly names: VitNames;
  /** DINOv2 of Hugging Face, whose classifier reads the class token and the mean. */
  readonly isDinov2: boolean;
}

/**
 * @param state - under timm's names; is left with exactly the tensors of a model here
 * @throws FormatError if tensors are missing or do not fit together; UsageError for an option that the file contradicts
 */
export function convertVit(state: StateDict, source: VitSource, options: LayoutOptions): VitTraits {
  state.drop(/^mask_token$/, 'which only pretraining reads');
  const reader = new ShapeReader('vit', state.shapes);
  const depth = reader.count('blocks');
  const dModel = reader.size('patch_embed.proj.weight', 0, 4);
  const patchSize = reader.size('patch_embed.proj.weight', 2, 4);
  if (reader.size('patch_embed.proj.weight', 3, 4) !== patchSize) {
    throw new FormatError(
      `import: got patches of ${patchSize}x${reader.size('patch_embed.proj.weight', 3, 4)} pixels, expected square ones.`,
    );
  }
  readDistillationAlone(state);
  if (!state.has('head.weight')) throw missingClassifier('head.weight', state.shapes);
  state.drop(/^pooler\.dense\./, 'which no classifier reads');
  requireLastNorm(state);
  refuseGates(state);
  const blocks = Array.from({ length: depth }, (_, block) => `blocks.${block}`);
  joinProjections(state, blocks);
  const isScaled = state.has('blocks.0.ls1.gamma');
  foldLayerScale(state, blocks);
  addBiases(state, blocks);
  const tokens = readTokens(state, dModel);
  const pooling = readPooling(state, source, tokens, dModel, options.pooling);
  const before = Number(tokens.classToken) + Number(tokens.distilled) + tokens.registers;
  const positions: PositionQuestion = {
    before,
    alternatives: fewerPositions({ ...tokens, isScaled }, patchSize),
    family: 'vit',
    patchSize,
    dModel,
  };
  if (!state.has('pos_embed')) {
    throw new FormatError(
      "import: got weights without 'pos_embed', the positions that are added to the tokens, expected a ViT that has them: no architecture here is without " +
        '(DINOv3, whose positions are rotary, is). Where other tensors are missing too, the file is not complete.',
    );
  }
  const fixedPositions = tokens.classToken && startsWithZeros(state.get('pos_embed'));
  const imageSize = readPositions(state, positions, options);
  return {
    dModel,
    depth,
    patchSize,
    imageSize,
    fixedPositions,
    config: {
      ...(!tokens.classToken && { classToken: false }),
      ...(tokens.distilled && { distilled: true }),
      ...(tokens.registers > 0 && { registers: tokens.registers }),
      ...(pooling.pooling !== 'token' && { pooling: pooling.pooling }),
      ...(pooling.poolsBeforeNorm && { poolsBeforeNorm: true }),
    },
    assumed: pooling.assumed,
  };
}

/** Whether the first position adds nothing to its token. */
const startsWithZeros = (positions: Tensor | undefined): boolean =>
  positions?.shape.length === 3 &&
  positions.size(1) > 0 &&
  positions.select(1, 0).abs().max().item() === 0;

/** In front of the classifier, `fc_norm` where it reads a mean that is taken before. */
function requireLastNorm(state: StateDict): void {
  const parts = ['weight', 'bias'].map((part) =>
    ['norm', 'fc_norm'].find((norm) => state.has(`${norm}.${part}`)),
  );
  const [weight, bias] = parts;
  if (weight !== undefined && bias === undefined && !state.has('blocks.0.norm1.bias')) {
    throw new FormatError(
      `import: got '${weight}.weight' without a bias, as all norms of the file are: RMSNorm or LayerNorm without bias, of which no shape tells the one from the other, ` +
        'expected LayerNorm with weights and biases: no architecture here has others.',
    );
  }
  if (parts.some((norm) => norm !== undefined)) return;
  throw new FormatError(
    "import: got weights without 'norm.weight', the norm behind the last block, expected a ViT that has it: no architecture here is without " +
      '(RADIO and InternViT are). Where other tensors are missing too, the file is not complete.',
  );
}

/** Rows of fc1 are both the neurons and their gates there. */
function refuseGates(state: StateDict): void {
  const [rows = 0] = state.get('blocks.0.mlp.fc1.weight')?.shape ?? [];
  const [, columns = 0] = state.get('blocks.0.mlp.fc2.weight')?.shape ?? [];
  if (columns === 0 || rows !== 2 * columns) return;
  throw new FormatError(
    `import: got 'blocks.0.mlp.fc1.weight' with ${rows} rows for ${columns} columns of fc2, half of them gates (GluMlp, SwiGLU), expected an MLP without: no architecture here has it.`,
  );
}

/** Query, key and value of Hugging Face, three layers, are one in timm. */
function joinProjections(state: StateDict, blocks: readonly string[]): void {
  let joined = false;
  for (const block of blocks) {
    const parts = (part: string) => ['q', 'k', 'v'].map((one) => `${block}.attn.${one}.${part}`);
    const biases = parts('bias').filter((name) => state.has(name));
    if (biases.length > 0 && biases.length < 3) {
      throw new FormatError(
        `import: got biases of ${block} for ${biases.length} of query, key and value, expected all or none: models that ` +
          'have no bias for the key (BEiT) are not known here.',
      );
    }
    if (!state.has(`${block}.attn.q.weight`)) continue;
    joined = true;
    for (const part of ['weight', 'bias']) state.join(parts(part), `${block}.attn.qkv.${part}`);
  }
  if (joined) state.note('Query, key and value of each attention were joined into one layer, qkv.');
}

/** x + gamma (W y + b) = x + (gamma W) y + gamma b */
function foldLayerScale(state: StateDict, blocks: readonly string[]): void {
  let folded = 0;
  for (const block of blocks) {
    for (const [scale, layer] of [
      ['ls1', 'attn.proj'],
      ['ls2', 'mlp.fc2'],
    ] as const) {
      const name = `${block}.${scale}.gamma`;
      const gamma = state.take(name);
      if (!gamma) continue;
      folded++;
      state.scaleRows(`${block}.${layer}`, gamma, name);
    }
  }
  if (folded === 0) return;
  if (folded < 2 * blocks.length) {
    throw new FormatError(
      `import: got ${folded} scales of LayerScale for ${blocks.length} blocks, expected ${2 * blocks.length}: is the file complete?`,
    );
  }
  state.note(
    `LayerScale (${folded} scales) was multiplied into the weights and biases of proj and fc2, which compute the same without it.`,
  );
}

function addBiases(state: StateDict, blocks: readonly string[]): void {
  for (const [layer, kind] of [
    ['attn.qkv', 'qkv of the attentions'],
    ['attn.proj', 'proj of the attentions'],
    ['mlp.fc1', 'fc1 of the MLPs'],
    ['mlp.fc2', 'fc2 of the MLPs'],
  ] as const) {
    state.addZeroBiases(
      blocks.map((block) => `${block}.${layer}`),
      kind,
    );
  }
  state.addZeroBiases(['patch_embed.proj'], 'embedding of patches');
  state.addZeroBiases(['head'], 'classifier');
  if (state.has('head_dist.weight')) {
    state.addZeroBiases(['head_dist'], 'classifier of the distillation token');
  }
}

/**
 * The classifier of the distillation token alone, which was named: that token takes the place of the class token, and the other way
 * round. Attention does not know the order of tokens but by their positions, which go with them.
 */
function readDistillationAlone(state: StateDict): void {
  const [first, second, positions] = ['cls_token', 'dist_token', 'pos_embed'].map((name) =>
    state.get(name),
  );
  if (state.has('head.weight') || !state.has('head_dist.weight')) return;
  if (!first || !second || positions?.ndim !== 3 || positions.size(1) < 3) return;
  for (const part of ['weight', 'bias']) {
    const tensor = state.take(`head_dist.${part}`);
    if (tensor) state.set(`head.${part}`, tensor);
  }
  state.set('cls_token', second);
  state.set('dist_token', first);
  const [one, other, rest] = [0, 1]
    .map((at) => positions.narrow(1, at, 1))
    .concat(positions.narrow(1, 2, positions.size(1) - 2));
  state.set(
    'pos_embed',
    noGrad(() => cat([other, one, rest] as Tensor[], 1)),
  );
  state.note(
    'The classifier reads the distillation token, which changed places with the class token.',
  );
}

interface Tokens {
  readonly classToken: boolean;
  readonly distilled: boolean;
  readonly registers: number;
}

function readTokens(state: StateDict, dModel: number): Tokens {
  for (const name of ['cls_token', 'dist_token', 'reg_token']) {
    const shape = state.get(name)?.shape;
    const [one, count = 0, width] = shape ?? [];
    const wrong = one !== 1 || count < 1 || width !== dModel || shape?.length !== 3;
    if (shape && (wrong || (name !== 'reg_token' && count !== 1))) {
      throw new FormatError(
        `import: got '${name}' of shape [${shape.join(', ')}], expected [1, ${name === 'reg_token' ? 'tokens' : 1}, ${dModel}]`,
      );
    }
  }
  const classToken = state.has('cls_token');
  const hasSecondHead = state.has('head_dist.weight');
  const distillation = state.get('dist_token');
  if (hasSecondHead && !(distillation && classToken)) {
    throw new FormatError(
      "import: got 'head_dist.weight', the classifier of a distillation token, without 'cls_token' and 'dist_token', expected all three.",
    );
  }
  if (hasSecondHead) {
    state.note(
      'The logits are the mean of both classifiers, of the class and the distillation token, as in DeiT; `classifier` takes the one or the other alone.',
    );
  } else if (distillation) {
    // It takes part in the attention and is not read, as a register.
    state.take('dist_token');
    const registers = state.get('reg_token');
    const all = registers ? [distillation, registers] : [distillation];
    state.set(
      'reg_token',
      noGrad(() => cat(all, 1)),
    );
    state.note('The distillation token, whose classifier is not in use, became a register token.');
  }
  return {
    classToken,
    distilled: hasSecondHead,
    registers: state.get('reg_token')?.size(1) ?? 0,
  };
}

interface Pooling {
  readonly pooling: VitPooling;
  readonly poolsBeforeNorm: boolean;
  readonly assumed: readonly string[];
}

/** What the classifier reads: its width, the name of the last norm and the tokens tell it, or nearly so. */
function readPooling(
  state: StateDict,
  { names, isDinov2 }: VitSource,
  { classToken, distilled }: Tokens,
  dModel: number,
  said: VitPooling | undefined,
): Pooling {
  const hasFcNorm = state.has('fc_norm.weight');
  if (hasFcNorm && state.has('norm.weight')) {
    throw new FormatError(
      "import: got both 'norm.weight' and 'fc_norm.weight', expected one of them: a norm after the pooling and one before it are not known here.",
    );
  }
  for (const part of ['weight', 'bias']) {
    const tensor = state.take(`fc_norm.${part}`);
    if (tensor) state.set(`norm.${part}`, tensor);
  }
  const isWide = state.get('head.weight')?.shape[1] === 2 * dModel;
  const possible: readonly VitPooling[] = isWide
    ? ['token-and-mean']
    : distilled
      ? ['token']
      : classToken
        ? ['token', 'mean']
        : ['mean'];
  if (said !== undefined && !possible.includes(said)) {
    throw new UsageError(
      `import: \`pooling\`: got '${said}' for a model that ${isWide ? `has ${2 * dModel} inputs of its classifier` : distilled ? 'is distilled' : 'has no class token'}, ` +
        `expected '${possible.join("' or '")}'.`,
    );
  }
  if ((isWide && !classToken) || (isWide && hasFcNorm)) {
    throw new FormatError(
      `import: got a classifier with ${2 * dModel} inputs ${classToken ? "and 'fc_norm.weight'" : "without 'cls_token'"}, expected the class token and the mean ` +
        'of the patches, both behind one norm.',
    );
  }
  // timm has `fc_norm` where it pools by the mean, unless told otherwise.
  const only = possible.length === 1 ? possible[0] : undefined;
  const usual = only ?? (hasFcNorm ? 'mean' : 'token');
  const pooling = said ?? usual;
  // torchvision and Hugging Face pool in no other way. A classifier of twice the width may also read the class tokens of
  // two blocks, but for DINOv2's.
  const isCertain =
    said !== undefined || (isWide ? isDinov2 : possible.length === 1 || names !== 'timm');
  if (pooling !== 'token') {
    state.note(
      pooling === 'mean'
        ? `The classifier reads the mean over the patches' tokens, taken ${hasFcNorm ? 'before' : 'after'} the last norm.`
        : "The classifier reads the class token and the mean over the patches' tokens, side by side.",
    );
  }
  return {
    pooling,
    poolsBeforeNorm: pooling === 'mean' && hasFcNorm,
    assumed: isCertain ? [] : [`pooling ${pooling}`],
  };
}
