// What config.json of timm and transformers says of a residual network.
import { type FamilyCard, named, said } from '../import/card.js';

const activation = 'another function than relu between its layers';
const antialiasing = 'pooling against aliasing';

export const resnetCard: FamilyCard = {
  names: /resnet/,

  obstacles(card) {
    const { model_args: args, layer_type: layer } = card;
    return [
      ...said('act_layer', args.act_layer, 'relu', activation),
      ...named(card, /resnetaa|resnetblur/, antialiasing),
      ...said('aa_layer', args.aa_layer, '', antialiasing),
      ...said('output_stride', args.output_stride, 32, 'other strides'),
      ...said('hidden_act', card.hidden_act, 'relu', activation),
      ...said(
        'downsample_in_first_stage',
        card.downsample_in_first_stage,
        false,
        'a stride in its first stage',
      ),
      ...(layer === 'basic'
        ? []
        : said(
            'downsample_in_bottleneck',
            card.downsample_in_bottleneck,
            false,
            'the stride of its bottlenecks in the first 1x1 convolution',
          )),
    ];
  },
};
