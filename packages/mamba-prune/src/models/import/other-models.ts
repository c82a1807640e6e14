// Models that are not here, by the names that their authors' scripts give them. Some have the tensors of a model that is
// here, to the last name and shape, and compute something else; of the others the name says more than a tensor does.
import { FormatError } from '@mamba-prune/libtorch';
import { printableLine, printableName } from '../../printable.js';
import { cardEntries } from './card.js';
import type { Family } from '../family.js';
import type { ScriptArguments } from './layout.js';
import { adapterNames } from './state-dict.js';

/** What the name of a model, `args.model` of its script, means. */
const others: readonly (readonly [name: RegExp, what: string])[] = [
  // A Vim, a VideoMamba or a DeiT; github.com/NUS-HPC-AI-Lab/R-MeeTo.
  [/^RMeeTo_/, 'a model that merges tokens between its layers (R-MeeTo)'],
  [/^mamba_vision_/i, 'a MambaVision, of convolutions, Mamba mixers and attention'],
  [/^(?:timm_)?local_(?:vim|vmamba)/, 'a LocalMamba, which scans within windows too'],
  [
    /^(?:efficient_?vmamba|vssm_efficient)/i,
    'an EfficientVMamba, which scans every other position',
  ],
  [/^plain_?mamba/i, 'a PlainMamba, whose scans know in which direction each step goes'],
];

/** Names of tensors that no model here has. */
const otherNames: readonly (readonly [name: RegExp, got: string, expected: string])[] = [
  [
    adapterNames,
    'an adapter (LoRA and others of peft)',
    'the weights of a model with those of the adapter in them: model = model.merge_and_unload() makes it where it was trained, and its state_dict() is to be saved',
  ],
  [
    /(?:^|\.)to_patch_embedding\./,
    'a model of vit-pytorch',
    'one of another program: its ViTs have norms around the embedding of their patches, or other attentions, which no architecture here has',
  ],
];

/** @throws FormatError for names that tell of what no model here is */
export function refuseOtherNames(names: Iterable<string>): void {
  for (const name of names) {
    const found = otherNames.find(([pattern]) => pattern.test(name));
    if (!found) continue;
    throw new FormatError(
      `import: got '${printableName(name)}', which belongs to ${found[1]}, expected ${found[2]}.`,
    );
  }
}

/** What the file calls the model, in the arguments of its script or elsewhere; empty where its file does not say. */
export function scriptModelName(args: ScriptArguments | undefined): string {
  const name = args?.get('model');
  return typeof name === 'string' ? name : '';
}

/** @throws FormatError for a name that is known to be of a model that there is not here */
export function refuseOtherModels(args: ScriptArguments | undefined): void {
  const name = scriptModelName(args);
  const found = others.find(([pattern]) => pattern.test(name));
  if (!found) return;
  throw new FormatError(
    `import: got the weights of a model that, as the file says, is called ${printableLine(name)}: ${found[1]}. ` +
      'No architecture here computes that, also where one has tensors of these names and shapes.',
  );
}

/**
 * The name that timm's train.py was called with says of its models what it says in a config.json.
 * @throws FormatError for one that computes what no shape tells and no model of the family here has
 */
export function refuseNamedVariants(family: Family, args: ScriptArguments | undefined): void {
  const card = family.layout?.card;
  const name = scriptModelName(args);
  if (!card?.names.test(name)) return;
  const entries = cardEntries({ architecture: name });
  const obstacles = entries ? card.obstacles(entries) : [];
  if (obstacles.length === 0) return;
  throw new FormatError(
    `import: got a ${family.title} with ${obstacles.join(', and with ')}, as the file says, ` +
      'expected one without: no architecture here has it.',
  );
}
