// Vision transformers of timm, torchvision, Hugging Face and mmpretrain, dense or pruned, in the one form that model.ts has.
import { FormatError } from '@mamba-prune/libtorch';
import { inRange, rangeWords } from '../../checks.js';
import { UsageError } from '../../errors.js';
import { modelLimits } from '../../limits.js';
import { printableLine } from '../../printable.js';
import { count, resamplePositions } from '../common-options.js';
import type {
  Layout,
  LayoutOptions,
  LayoutResult,
  ModelModules,
  Reading,
} from '../import/layout.js';
import { vitCard } from './card.js';
import { written } from '../import/written.js';
import { attentionWidth, readHeads } from './import-heads.js';
import {
  type VitNames,
  vitClassifiers,
  vitNamesOf,
  vitRefusals,
  vitRenames,
} from './import-names.js';
import { type VitTraits, convertVit } from './import-form.js';
import { ShapeReader } from '../import/shapes.js';
import { StateDict } from '../import/state-dict.js';
import { vitFunctions } from './modules.js';
import { scaleScores } from './scores.js';
import {
  type VitPooling,
  type VitSizes,
  attentionGroup,
  defaultEps,
  mlpGroup,
  vitArchitectures,
  vitPoolings,
} from './config.js';

/** As in a configuration. */
const epsRange = { type: 'number', above: 0, max: 1 } as const;

export const vitLayout: Layout = {
  programs: 'a VisionTransformer of timm, torchvision or mmpretrain, of a ViT of Hugging Face',

  // No shape tells the number of heads.
  telling: ['dModel', 'depth'],

  options: {
    headDim: {
      values: count(modelLimits.dModel),
      flag: '--head-dim <n>',
      help: 'width of an attention head, where no shape tells it',
    },
    pooling: {
      values: { type: 'choice', choices: vitPoolings },
      flag: '--pooling <what>',
      help: 'what the classifier reads',
      whenRead: 'as the file says',
    },
    eps: {
      values: epsRange,
      flag: '--eps <x>',
      help: 'added to the variance in every LayerNorm',
      whenRead: '1e-6; ViT and DeiT of Hugging Face 1e-12',
    },
    activation: { values: { type: 'choice', choices: ['gelu'] } },
    resamplePositions,
  },

  card: vitCard,

  functions: vitFunctions,

  scaleScores,

  classifier: (shapes) => ({ name: 'head', own: vitClassifiers[vitNamesOf(shapes) ?? 'timm'] }),

  recognises: (shapes) => vitNamesOf(shapes) !== undefined,

  read(tensors, options, _args, modules): Reading {
    const state = new StateDict(tensors);
    const names = vitNamesOf(state.shapes) ?? 'timm';
    state.refuse('ViT', vitRefusals);
    checkActivation(options.activation);
    if (modules !== undefined) checkPooling(modules, options.pooling);
    // DINOv2 of Hugging Face has another eps than its ViT; and only the ViT has this name.
    const isDinov2 =
      names === 'Hugging Face' && !state.names().some((name) => name.includes('layernorm_before'));
    const renamed = state.rename(vitRenames(names, state.names()));
    if (names !== 'timm' && renamed > 0) {
      state.note(
        `The names of ${names} were turned into those of timm, which the models here have.`,
      );
    }
    const traits = convertVit(state, { names, isDinov2 }, options);
    const reader = new ShapeReader('vit', state.shapes);
    const sizes = {
      dModel: traits.dModel,
      depth: traits.depth,
      patchSize: traits.patchSize,
      imageSize: traits.imageSize,
      channels: reader.size('patch_embed.proj.weight', 1, 4),
      numClasses: reader.size('head.weight', 0, 2),
    };
    return {
      sizes,
      tensors: state.tensors,
      notes: state.notes,
      config(arch, said): LayoutResult {
        const attention = headsOf(reader, arch, traits, said);
        const widths: Record<string, number> = {};
        const headDims: Record<string, number> = {};
        for (let block = 0; block < traits.depth; block++) {
          const group = attentionGroup(block);
          widths[group] = attention.heads[block] as number;
          widths[mlpGroup(block)] = reader.size(`blocks.${block}.mlp.fc1.weight`, 0, 2);
          const headDim = attention.headDims?.[block];
          if (headDim !== undefined && headDim !== attention.headDim) headDims[group] = headDim;
        }
        const { headDim } = attention;
        const norm = epsOf(names, isDinov2, said.eps);
        const config = {
          family: 'vit',
          arch,
          ...sizes,
          headDim,
          dropPath: said.dropPath ?? 0,
          widths,
          ...(Object.keys(headDims).length > 0 && { headDims }),
          ...(norm.eps !== defaultEps && { eps: norm.eps }),
          ...traits.config,
        };
        return {
          config,
          assumed: [...attention.assumed, ...norm.assumed, ...traits.assumed],
          notes: [...withUntold(attention.notes, untold(names, said, modules)), ...norm.notes],
        };
      },
    };
  },
};

function headsOf(
  reader: ShapeReader,
  arch: string,
  { dModel, depth, fixedPositions }: VitTraits,
  { arch: named, heads, headDim }: LayoutOptions,
): ReturnType<typeof readHeads> {
  const all: Readonly<Record<string, VitSizes>> = vitArchitectures;
  const standard = all[arch];
  const widths = Array.from({ length: depth }, (_, block) => {
    const name = `blocks.${block}.attn.qkv.weight`;
    return attentionWidth(name, reader.size(name, 0, 2));
  });
  // Models of the same width and another depth have other heads (768 wide and 8 deep: 8 in early versions of timm).
  const isStandard =
    standard?.dModel === dModel && (standard.depth === depth || named !== undefined);
  // MoCo v3's ViT-S has twice the heads of all others, and positions of sines that are not trained.
  const isMocoSmall = arch === 'vit_small' && fixedPositions;
  const known = isStandard && !isMocoSmall ? standard.heads : undefined;
  const why = isMocoSmall
    ? 'The position of its class token is zero, as in MoCo v3, whose vit_small has 12 heads where others have 6.'
    : standard?.dModel === dModel && !isStandard
      ? `${arch}, of the same width, has ${standard.heads} heads in ${standard.depth} blocks; this model has ${depth}, and models of other depths have other numbers of heads.`
      : undefined;
  return readHeads({ widths, dModel, arch, known, why }, { heads, headDim });
}

/**
 * What shapes do not tell and nothing else has said. A name of an architecture says it, and so do the modules of a pickled model;
 * torchvision has no other ViTs.
 */
function untold(
  names: VitNames,
  { arch, activation, eps }: LayoutOptions,
  modules: ModelModules | undefined,
): string | undefined {
  const isTold = arch !== undefined || activation !== undefined || modules !== undefined;
  if (names === 'torchvision' || isTold) return undefined;
  const usual =
    names === 'Hugging Face'
      ? ['the exact GELU in its MLPs']
      : [
          'the exact GELU in its MLPs (no quick_gelu, gelu_tanh or relu)',
          'norms before attention and MLP (not behind them, as in ResPostBlock)',
          'no rotary positions',
          ...(eps === undefined ? [`LayerNorm's eps of ${written(defaultEps)}`] : []),
        ];
  return `Taken as usual, for no shape tells it: ${usual.join(', ')}.`;
}

/** In one note with what is said of the heads, where that is said. */
function withUntold(notes: readonly string[], sentence: string | undefined): readonly string[] {
  if (sentence === undefined) return notes;
  return [[...notes, sentence].join(' ')];
}

/** Hugging Face's ViT and DeiT have 1e-12 unless their config.json says otherwise; all others here have 1e-6. */
function epsOf(
  names: VitNames,
  isDinov2: boolean,
  said: number | undefined,
): { readonly eps: number; readonly assumed: string[]; readonly notes: string[] } {
  if (said !== undefined) {
    if (inRange(said, epsRange)) return { eps: said, assumed: [], notes: [] };
    throw new UsageError(
      `import: \`eps\`: got ${said}, expected ${rangeWords('a number', epsRange)}.`,
    );
  }
  const eps = names === 'Hugging Face' && !isDinov2 ? 1e-12 : defaultEps;
  if (eps === defaultEps) return { eps, assumed: [], notes: [] };
  return {
    eps,
    assumed: [`eps ${eps}`],
    notes: [
      `LayerNorm adds ${eps} to the variance, as Hugging Face's ViT and DeiT do unless their config.json has another layer_norm_eps.`,
    ],
  };
}

/**
 * timm's backbones give all of their tokens where they are made so, and a script's own class does with them what nothing tells.
 * @throws FormatError unless it was said
 */
function checkPooling({ parts }: ModelModules, said: VitPooling | undefined): void {
  const model = parts.find(({ name }) => name === '');
  if (said !== undefined || model?.module.setting('global_pool') !== '') return;
  const at = [model.at, 'global_pool'].filter((step) => step !== '').join('.');
  throw new FormatError(
    `import: got a ViT that pools none of its tokens (${printableLine(at)} ''), as the file says, expected one that pools: nothing tells which of them its ` +
      "classifier reads. Give `pooling`: 'token' where it reads the first, 'mean' where it reads the mean over the patches.",
  );
}

/** What Hugging Face calls `hidden_act`, and timm `act_layer`. @throws UsageError but for the exact GELU */
function checkActivation(activation: string | undefined): void {
  if (activation === undefined || activation === 'gelu') return;
  throw new UsageError(
    `import: \`activation\`: got '${activation}', expected 'gelu', the exact one: the ViT here has no other.`,
  );
}
