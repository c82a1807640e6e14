// What the modules of a pickled ViT compute that have no weights, beside the functions of its MLPs.
import { printableLine } from '../../printable.js';
import type { ModelConfigBase } from '../image-model.js';
import type { ModelModules } from '../import/layout.js';
import type { ModuleProblem } from '../import/module-layers.js';
import { classOf, isOfLibrary } from '../import/module-place.js';
import type { VitConfig } from './config.js';

/** Norms without weights, and functions between layers. GELU is that of the MLPs, wherever a script has it. */
const computing =
  /(?:Norm(?:\dd)?|ReLU6?|(?:^|[CS])ELU|SiLU|Swish|Mish|Tanh|Sigmoid|Soft(?:plus|sign)|(?:Log)?Soft(?:max|min))$/;

/** The functions of MLPs are compared elsewhere, and what a pooler makes of the features is left out with its weights. */
const elsewhere = /(?:^|\.)(?:mlp|intermediate|pooler)\./;

/** Where every attention has a softmax. */
const inAttention = /(?:^|\.)\w*(?:attn|attention)\./;

/** Blocks that norm what they read, and not what they add; what a script's own compute is not known. */
const blocks = /^(?:Block|EncoderBlock|(?:ViT|DeiT|ViTMSN|IJepa|Dinov2|Dinov2WithRegisters)Layer)$/;

const isBlock = /(?:^|\.)(?:blocks\.\d+|encoder_layer_\d+|layers?\.\d+)$/;

/** What torch.fx leaves of the modules that it has traced: a holder of those in them, which computes nothing itself. */
const holder = 'torch.nn.modules.module.Module';

/** @returns the first that computes what no ViT here does */
export function vitFunctions(
  { functions, parts }: ModelModules,
  config: ModelConfigBase,
): ModuleProblem | undefined {
  const block = parts.find(
    ({ name, module }) =>
      isBlock.test(name) &&
      isOfLibrary(module) &&
      module.type !== holder &&
      !blocks.test(classOf(module)),
  );
  if (block !== undefined) {
    return {
      got: `a block of the class ${printableLine(classOf(block.module))}`,
      expected: 'Block, which adds what its norms, attention and MLP make in this order',
      at: block.at,
    };
  }
  const prefixed = parts.find(
    ({ name, module }) => name === '' && module.setting('pool_include_prefix') === true,
  );
  if (prefixed !== undefined && (config as VitConfig).pooling === 'mean') {
    return {
      got: "a mean over all of its tokens, the class's and registers too",
      expected: "one over the patches' tokens alone",
      at: [prefixed.at, 'pool_include_prefix'].filter((step) => step !== '').join('.'),
    };
  }
  const placed = functions.find(({ name, module }) => {
    const kind = classOf(module);
    if (!isOfLibrary(module) || !computing.test(kind) || elsewhere.test(name)) return false;
    return !(kind === 'Softmax' && inAttention.test(name));
  });
  return (
    placed && {
      got: `a module of the class ${printableLine(classOf(placed.module))}`,
      expected: 'functions in its MLPs alone, and norms that have weights',
      at: placed.at,
    }
  );
}
