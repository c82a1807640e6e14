import { UsageError } from '../errors.js';
import { printableLine } from '../printable.js';
import { type HubSpec, formatHubSpec } from './spec.js';

/** What torch.save files are called, likeliest first. */
const torchNames = /\.(bin|pth|pt|pth\.tar|ckpt)$/;

/**
 * The file of weights that a repository without further word means: model.safetensors, or else the only
 * .safetensors file, pytorch_model.bin, the only torch.save file.
 *
 * @param files - names on the top level
 * @throws UsageError if there is none, or several that are equally likely
 */
export function chooseFile(spec: HubSpec, files: readonly string[]): string {
  if (files.includes('model.safetensors')) return 'model.safetensors';
  if (files.includes('model.safetensors.index.json')) {
    throw new UsageError(
      `${formatHubSpec(spec)}: its weights are split over several files, expected one. ` +
        'Join them on another machine and give the path of the result.',
    );
  }
  const safetensors = files.filter((file) => file.endsWith('.safetensors'));
  const torch = files.filter((file) => torchNames.test(file));
  const candidates = safetensors.length > 0 ? safetensors : torch;
  const [only, second] = candidates;
  if (only !== undefined && second === undefined) return only;
  if (candidates.includes('pytorch_model.bin')) return 'pytorch_model.bin';
  if (only === undefined) {
    throw new UsageError(
      `${formatHubSpec(spec)}: got no file of weights among ${listed(files)}, expected a .safetensors or ` +
        `torch.save file. Name one in a folder with ${formatHubSpec({ ...spec, file: 'FOLDER/FILE' })}.`,
    );
  }
  throw new UsageError(
    `${formatHubSpec(spec)}: got several files of weights (${listed(candidates)}), expected one. ` +
      `Name it: ${formatHubSpec({ ...spec, file: only })}.`,
  );
}

function listed(files: readonly string[]): string {
  if (files.length === 0) return 'nothing';
  return `${files.slice(0, 6).map(printableLine).join(', ')}${files.length > 6 ? `, ${files.length - 6} more` : ''}`;
}
