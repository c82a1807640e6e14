// What the script that trained a Vim was called with: it tells what no tensor does, and names models that have Vim's tensors
// and compute something else.
import { FormatError } from '@mamba-prune/libtorch';
import { printableLine } from '../../printable.js';
import type { ScriptArguments } from '../import/layout.js';
import { scriptModelName } from '../import/other-models.js';
import { UntoldError } from '../import/untold.js';

/** Which images the patches are of. */
export interface TrainedGeometry {
  readonly imageSize: number;
  readonly stride: number;
}

/** What a name such as vim_tiny_patch16_stride8_224_..._with_midclstok_div2 has to have, and what it means without it. */
const parts = [
  // `middle_cls_token` in vim_base alone.
  [/mid(?:dle)?_?cls_?tok/, 'no class token in the middle of the patches'],
  [/div2/, 'the sum of both directions in place of their mean'],
  [/bimambav2/, 'other weights for the way back than bimamba v2'],
] as const;

/**
 * Whether a name has the form in which the published models are called: vim_tiny_patch16_224_bimambav2_... Any other, such as
 * vim_mine, tells neither what a model is nor what it is not.
 */
const hasPublishedForm = (name: string): boolean => /^vim_.*patch\d/.test(name);

/** What the arguments tell of a model that there is not here, behind "that"; undefined where they tell of none. */
function otherModel(args: ScriptArguments): string | undefined {
  const name = scriptModelName(args);
  const random = ['if_random_cls_token_position', 'if_random_token_rank'].find(
    (flag) => args.get(flag) === true,
  );
  if (random !== undefined) {
    return `was trained with ${random}: its class token or its patches have no certain place`;
  }
  // Famba-V keeps Vim's names, of models and of tensors, and reads its class from the first position, without fusion too;
  // github.com/AIoT-MLSys-Lab/Famba-V.
  const fusion = args.get('fusion_strategy');
  if (fusion !== undefined) {
    return (
      `was trained with fusion_strategy ${printableLine(String(fusion))}, which is Famba-V's: ` +
      'its class token is not in the middle of the patches, and tokens may be fused between its layers'
    );
  }
  const missing = hasPublishedForm(name) ? parts.find(([part]) => !part.test(name)) : undefined;
  if (missing) return `is called ${name}, which means ${missing[1]}`;
  if (/rope/.test(name)) return `is called ${name}, which means rotary positions`;
  if (!/^video_?mamba/i.test(name)) return undefined;
  return `is called ${name}: a model derived from Vim, with its class token before the patches`;
}

/** @throws FormatError naming the argument that tells of a model that there is not here */
export function refuseOtherScript(args: ScriptArguments | undefined): void {
  const what = args && otherModel(args);
  if (what === undefined) return;
  throw new FormatError(
    `import: got the weights of a model that, as the file says, ${what}. ` +
      "Expected a Vim with the class token in the middle and the mean of both directions ('midclstok', 'div2'): no architecture here computes the other.",
  );
}

/**
 * Models derived from Vim may have its tensors to the last name and shape: VideoMamba's for images have, and compute with the
 * class token before the patches and the sum of both directions. Only who has the file can tell them from a Vim whose file
 * does not name its model.
 * @param arch - the architecture that has the sizes of the file, or the closest to them
 * @param differing - sizes in which the file differs from it, as options
 * @throws UntoldError unless the file names a Vim, after `refuseOtherScript`
 */
export function requireNamedVim(
  arch: string,
  differing: readonly string[],
  args: ScriptArguments | undefined,
): void {
  if (hasPublishedForm(scriptModelName(args))) return;
  throw new UntoldError(
    `import: got weights with the names and shapes of a Vim, and nothing in the file says whether they are of a Vim: models derived from it ` +
      '(VideoMamba, R-MeeTo, Famba-V and others) have the same tensors, but the class token elsewhere, the sum of both directions in place of ' +
      `their mean, or fewer tokens from layer to layer, and would give other results here than their own. If they are of a Vim, say so with ${[`\`arch\` ${arch}`, ...differing].join(' ')}.`,
  );
}

/**
 * Image size and stride as the script had them; undefined where it does not say both.
 * @param patchSize - the stride where the model's name has none
 */
export function trainedGeometry(
  patchSize: number,
  args: ScriptArguments | undefined,
): TrainedGeometry | undefined {
  const name = scriptModelName(args);
  const imageSize = args?.get('input_size');
  if (!hasPublishedForm(name) || typeof imageSize !== 'number') return undefined;
  const [, stride] = /_stride(\d+)/.exec(name) ?? [];
  return { imageSize, stride: stride === undefined ? patchSize : Number(stride) };
}
