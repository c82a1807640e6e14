import { UsageError } from '../errors.js';
import { isShard, isShardIndex } from '../shard-names.js';
import { listed, printableLine } from '../printable.js';
import { type HubSpec, formatHubSpec } from './spec.js';

/** What torch.save files are called, likeliest first. */
const torchNames = /\.(bin|pth|pt|pth\.tar|ckpt)$/;

/** torch.save files that are no weights: what a Trainer keeps of its own. */
const noWeights = /^(training_args|optimizer|scheduler|scaler|rng_state.*)\.(bin|pt|pth)$/;

/** Names that a message lists. */
const most = 6;

/** What to do about weights of a repository that are split. */
const splitAdvice =
  'its weights are split over several files, expected one. ' +
  'Download them all into a folder (hf download, git clone) and give its path.';

/** What a folder has to offer. */
export interface Choice {
  /** The file that is meant; undefined if there is none, or it is not clear which. */
  readonly file?: string;
  /** Every file that may be one of weights, safetensors first: reading them is quicker, and they are never run. */
  readonly candidates: readonly string[];
}

/**
 * Among files of one folder: model.safetensors, else the only .safetensors file, pytorch_model.bin, the only
 * torch.save file.
 */
export function chooseWeights(files: readonly string[]): Choice {
  const whole = files.filter((file) => !isShard(file) && !noWeights.test(file));
  const safetensors = whole.filter((file) => file.endsWith('.safetensors'));
  const torch = whole.filter((file) => torchNames.test(file));
  const candidates = [...safetensors, ...torch];
  const usual = ['model.safetensors', ...(safetensors.length > 0 ? [] : ['pytorch_model.bin'])];
  const named = usual.find((name) => candidates.includes(name));
  const preferred = safetensors.length > 0 ? safetensors : torch;
  const file = named ?? (preferred.length === 1 ? preferred[0] : undefined);
  return { candidates, ...(file !== undefined && { file }) };
}

/**
 * The file of weights that a repository without further word means, as `chooseWeights` has it.
 *
 * @param files - names on the top level
 * @param onNote - is told which was taken of several
 * @throws UsageError if there is none, or several that are equally likely
 */
export function chooseFile(
  spec: HubSpec,
  files: readonly string[],
  onNote?: (note: string) => void,
): string {
  const { file, candidates } = chooseWeights(files);
  if (file !== undefined) {
    const others = candidates.filter((name) => name !== file);
    const [another] = others;
    if (another !== undefined) {
      onNote?.(
        `${formatHubSpec(spec)} has several files of weights: ${file} was taken, not ${listed(others, most)}. ` +
          `Another one is named with ${formatHubSpec({ ...spec, file: another })}.`,
      );
    }
    return file;
  }
  const [first] = candidates;
  const index = files.find(isShardIndex);
  if (first === undefined && (index !== undefined || files.some(isShard))) {
    const which = index === undefined ? '' : ` (${printableLine(index)})`;
    throw new UsageError(`${formatHubSpec(spec)}${which}: ${splitAdvice}`);
  }
  if (first === undefined) {
    throw new UsageError(
      `${formatHubSpec(spec)}: got no file of weights among ${listed(files, most) || 'nothing'}, expected a .safetensors or ` +
        `torch.save file. Name one in a folder with ${formatHubSpec({ ...spec, file: 'FOLDER/FILE' })}.`,
    );
  }
  throw new UsageError(
    `${formatHubSpec(spec)}: got several files of weights (${listed(candidates, most)}), expected one. ` +
      `Name it: ${formatHubSpec({ ...spec, file: first })}.`,
  );
}
