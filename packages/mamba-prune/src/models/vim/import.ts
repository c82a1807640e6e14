// Vim as published (names of github.com/hustvl/Vim), dense or pruned.
import { FormatError } from '@mamba-prune/libtorch';
import { resamplePositions } from '../common-options.js';
import type { Layout } from '../import/layout.js';
import { ShapeReader, missingClassifier } from '../import/shapes.js';
import { type Refusal, StateDict } from '../import/state-dict.js';
import { UntoldError, orUntold, refuseUntold } from '../import/untold.js';
import {
  type VimArchitecture,
  dtRankGroup,
  ssmGroup,
  stateGroup,
  usualDtRank,
  vimArchitectures,
} from './config.js';
import { readVimPositions } from './import-positions.js';
import { refuseOtherScript, requireNamedVim, trainedGeometry } from './import-script.js';
import { isVim, pickledGeometry, vimFunctions } from './modules.js';

const otherToken = 'a model derived from Vim, with its class token in another place';

const refusals: readonly Refusal[] = [
  [/^(?:reg|register)_?tokens?$/, 'a model derived from Vim, with register tokens (Mamba-Reg)'],
  [/^pos_embed_(?:cls|reg)$/, 'a model derived from Vim, with positions of other tokens'],
  [/^(?:neck|norm_neck)\./, 'a model derived from Vim, with register tokens (Mamba-Reg)'],
  [/^cls_token_(?:head|tail)$/, `${otherToken}: one at each end`],
  [/\.mixer\.(?:A_log|conv1d|x_proj|dt_proj)_\d/, 'a LocalMamba, which scans within windows too'],
  [/^temporal_pos/, 'a model derived from Vim for videos (VideoMamba)'],
  [/(?:^|\.)rope\./, 'a Vim with rotary positions'],
  [/\.mixer\.(?:in_proj|out_proj|x_proj|x_proj_b)\.bias$/, 'a Vim with biases of its projections'],
  [/\.mixer\.out_proj_b\./, 'a Vim whose directions have an output layer each'],
  [/(?:^|\.)norm(?:_f)?\.bias$/, 'a Vim with LayerNorm in place of RMSNorm'],
  [/\.mlp\./, 'a model derived from Vim, with an MLP'],
];

const telling = ['dModel', 'depth', 'dState'] as const;

export const vimLayout: Layout = {
  programs: 'a Vim of hustvl/Vim',

  telling,

  options: { resamplePositions },

  interpolation: 'bicubic',

  functions: vimFunctions,

  classifier: () => ({ name: 'head', own: /^head\./ }),

  recognises: (shapes) => shapes.has('layers.0.mixer.in_proj.weight'),

  read(tensors, said, args, modules) {
    const state = new StateDict(tensors);
    state.rename([[/^head\.\d+\.(weight|bias)$/, 'head.$1']]);
    state.refuse('Vim', refusals);
    const reader = new ShapeReader('vim', state.shapes);
    if (!state.has('head.weight')) throw missingClassifier('head.weight', state.shapes);
    refuseOtherTokens(state);
    const depth = reader.count('layers');
    const dModel = reader.size('norm_f.weight', 0, 1);
    const patchSize = reader.size('patch_embed.proj.weight', 2, 4);
    const layers = Array.from({ length: depth }, (_, layer) => layer);
    state.addZeroBiases(['head'], 'classifier');
    refuseOneDirection(reader);
    refuseOtherScript(args);
    const states = layers.map((layer) => reader.size(`layers.${layer}.mixer.A_log`, 1, 2));
    const trained = (modules && pickledGeometry(modules)) ?? trainedGeometry(patchSize, args);
    const positions = orUntold(() => readVimPositions(state, { patchSize, dModel, trained }, said));
    const sizes = {
      dModel,
      depth,
      // What the widest layer has: pruning states leaves some layer whole more often than not.
      dState: states.reduce((most, count) => Math.max(most, count), 0),
      dConv: reader.size('layers.0.mixer.conv1d.weight', 2, 3),
      patchSize,
      ...(positions instanceof UntoldError
        ? {}
        : { stride: positions.stride, imageSize: positions.imageSize }),
      channels: reader.size('patch_embed.proj.weight', 1, 4),
      numClasses: reader.size('head.weight', 0, 2),
    };
    state.note(
      'Taken as usual, for no shape tells it: the class token in the middle of the patches, the mean of both directions, ' +
        "RMSNorm's eps of 1e-5.",
    );
    return {
      sizes,
      tensors: state.tensors,
      notes: state.notes,
      config(arch, { arch: confirmed, dropPath = 0 }) {
        // What its modules say to be another model is refused by that, behind the reading.
        const isTold =
          modules !== undefined && (isVim(modules) || vimFunctions(modules) !== undefined);
        const isNamed = confirmed !== undefined || isTold;
        const named = orUntold(() => {
          if (!isNamed) requireNamedVim(arch, differingSizes(arch, sizes), args);
        });
        refuseUntold([named, positions]);
        const dtRank = usualDtRank(dModel);
        const widths: Record<string, number> = {};
        for (const layer of layers) {
          const mixer = `layers.${layer}.mixer`;
          const rank = reader.size(`${mixer}.dt_proj.weight`, 1, 2);
          widths[ssmGroup(layer)] = reader.size(`${mixer}.A_log`, 0, 2);
          // As in configurations of ours, these two are named where they differ.
          if (states[layer] !== sizes.dState) widths[stateGroup(layer)] = states[layer] as number;
          if (rank !== dtRank) widths[dtRankGroup(layer)] = rank;
        }
        const config = { family: 'vim', arch, ...sizes, dtRank, dropPath, widths };
        const assumed = positions instanceof UntoldError ? [] : positions.assumed;
        return { config, assumed, notes: [] };
      },
    };
  },
};

/** The sizes in which a file differs from an architecture, as options to read it with. */
function differingSizes(arch: string, sizes: Readonly<Partial<Record<string, number>>>): string[] {
  const own: Readonly<Record<string, number>> = vimArchitectures[arch as VimArchitecture];
  return telling
    .filter((name) => own[name] !== undefined && own[name] !== sizes[name])
    .map((name) => `\`${name}\` ${sizes[name]}`);
}

/** @throws FormatError unless there is one class token */
function refuseOtherTokens(state: StateDict): void {
  const shape = state.get('cls_token')?.shape;
  if (!shape) {
    throw new FormatError(
      "import: got the weights of a Vim without 'cls_token', expected one: a model whose classifier reads the mean over the patches is not known here.",
    );
  }
  const [one, count = 0] = shape;
  if (shape.length === 3 && one === 1 && count === 1) return;
  throw new FormatError(
    `import: got 'cls_token' of shape [${shape.join(', ')}], expected one token: models derived from Vim with more of them ` +
      '(register tokens, as in Mamba-Reg) are not known here.',
  );
}

/** @throws FormatError unless everything of a direction is there twice */
function refuseOneDirection(reader: ShapeReader): void {
  const missing = ['A_b_log', 'D_b', 'conv1d_b.weight', 'x_proj_b.weight', 'dt_proj_b.weight']
    .map((part) => `layers.0.mixer.${part}`)
    .find((part) => !reader.has(part));
  if (missing === undefined) return;
  throw new FormatError(
    `import: got the weights of a Vim without '${missing}', expected two directions with weights of their own (bimamba v2): ` +
      'models that scan one way, or both ways by the same weights, are not known here.',
  );
}
