// What the modules of a pickled ViT compute that have no weights, beside the functions of its MLPs.
import { printableLine } from '../../printable.js';
import type { ModelModules } from '../import/layout.js';
import type { ModuleProblem } from '../import/module-layers.js';
import { classOf, isOfLibrary } from '../import/module-place.js';

/** Norms without weights, and functions between layers. GELU is that of the MLPs, wherever a script has it. */
const computing =
  /(?:Norm(?:\dd)?|ReLU6?|(?:^|[CS])ELU|SiLU|Swish|Mish|Tanh|Sigmoid|Soft(?:plus|sign)|(?:Log)?Soft(?:max|min))$/;

/** The functions of MLPs are compared elsewhere, and what a pooler makes of the features is left out with its weights. */
const elsewhere = /(?:^|\.)(?:mlp|intermediate|pooler)\./;

/** Where every attention has a softmax. */
const inAttention = /(?:^|\.)\w*(?:attn|attention)\./;

/** Blocks that norm what they read, and not what they add; what a script's own compute is not known. */
const blocks = /^(?:Block|EncoderBlock|(?:ViT|DeiT|Dinov2|Dinov2WithRegisters)Layer)$/;

const isBlock = /(?:^|\.)(?:blocks\.\d+|encoder_layer_\d+|layers?\.\d+)$/;

/** @returns the first that computes what no ViT here does */
export function vitFunctions({ functions, parts }: ModelModules): ModuleProblem | undefined {
  const block = parts.find(
    ({ name, module }) =>
      isBlock.test(name) && isOfLibrary(module) && !blocks.test(classOf(module)),
  );
  if (block !== undefined) {
    return {
      got: `a block of the class ${printableLine(classOf(block.module))}`,
      expected: 'Block, which adds what its norms, attention and MLP make in this order',
      at: block.at,
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
