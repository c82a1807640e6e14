// What config.json of timm and transformers says of a vision transformer.
import { type FamilyCard, named, said } from '../import/card.js';
import { vitArchitectures } from './config.js';

const activation = 'another function than gelu between its layers';

/** SigLIP 2 in timm: GELU by its tanh approximation, in names beside which others have the exact one. */
const approximateGelu =
  /_(?:giantopt|so400m)_patch16_siglip|_base_patch32_siglip|_large_patch16_siglip(?:_gap)?_512/;

/** timm's models whose number of heads is not that of others of their width. */
const otherHeads: Readonly<Record<string, number>> = { vit_base_patch16_gap_224: 16 };

export const vitCard: FamilyCard = {
  names: /^(?:vit|deit3?|flexivit|dinov2)(?:_|$)/,

  architecture: (name) => name.replace(/^deit_/, 'vit_'),

  hints(card, arch = '') {
    const { architecture = '', model_args: args, global_pool: pool = args.global_pool } = card;
    const known: Readonly<Record<string, { readonly heads: number }>> = vitArchitectures;
    return {
      // The name stands for the number, which no shape tells, unless the model was made with another. MoCo v3 has a vit_small of
      // other heads; those of timm have their patches in the name.
      heads:
        args.num_heads ??
        (Object.hasOwn(otherHeads, architecture) ? otherHeads[architecture] : undefined) ??
        (/_patch\d/.test(architecture) && Object.hasOwn(known, arch)
          ? known[arch]?.heads
          : undefined),
      pooling: ({ avg: 'mean', token: 'token' } as const)[pool ?? ''],
    };
  },

  obstacles(card) {
    const { global_pool: pool = '', model_args: args } = card;
    return [
      ...said('act_layer', args.act_layer, 'gelu', activation),
      ...named(card, /quick[-_]?gelu/i, activation),
      ...named(card, approximateGelu, activation),
      ...named(card, /_rpn(?:_|$)/, 'its norms behind the layers'),
      ...named(card, /_rope\d*(?:_|$)/, 'rotary positions'),
      ...(['', 'avg', 'token'].includes(pool)
        ? []
        : said('global_pool', pool, '', 'another pooling than token or mean')),
    ];
  },

  activation: 'gelu',
};
