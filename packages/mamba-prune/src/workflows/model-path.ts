// The file that a path to a model means: a file, the folder of a run, or one that another program has written.
import {
  type Stats,
  closeSync,
  existsSync,
  openSync,
  readSync,
  readdirSync,
  statSync,
} from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { readTextFile } from '@mamba-prune/libtorch/files';
import { boxedArgument, boxedModelsIfAny } from '../boxed-models.js';
import { UsageError } from '../errors.js';
import { whyMissing } from '../files/missing.js';
import { chooseWeights } from '../hub/choose-file.js';
import { printableLine } from '../printable.js';
import { isShard, shardIndexAmong } from '../shard-names.js';
import { RunFolder } from '../training/run-folder.js';
import { refuseDcpFolder, refuseDcpPart, zeroModelIn } from './distributed-folder.js';

/** The model's file in a run folder. */
export const modelFileName = 'model.safetensors';

/** What other programs call a whole file of torch.save. */
const torchFileName = 'pytorch_model.bin';

/**
 * Whether a file is a model for onnxruntime, which only some commands take: by its content, and by its name
 * where it has none that could be told apart.
 */
export function isOnnx(path: string): boolean {
  const isNamed = extname(path).toLowerCase() === '.onnx';
  const head = firstBytes(path);
  // A zip archive or a pickle of torch.save; '{' begins the header of a safetensors file.
  const isOther = head.toString('latin1', 0, 2) === 'PK' || head[0] === 0x80 || head[8] === 0x7b;
  if (isOther) return false;
  // The version of the format, the first entry of every ONNX file that exporters write, then the next entry.
  return (
    isNamed || (head[0] === 0x08 && (head[1] ?? 0) < 0x20 && [0x12, 0x3a].includes(head[2] ?? 0))
  );
}

/** None of a pipe, say, which would be waited for. */
function firstBytes(path: string): Buffer {
  const head = Buffer.alloc(9);
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return head;
  try {
    const file = openSync(path, 'r');
    try {
      readSync(file, head, 0, head.length, 0);
    } finally {
      closeSync(file);
    }
  } catch {
    // Whoever reads all of it says what is wrong.
  }
  return head;
}

export interface ModelPathOptions {
  /** Whether the command takes ONNX files too. By default it does not. */
  readonly takesOnnx?: boolean;
  /** Is told which file was taken of several. */
  readonly onNote?: (note: string) => void;
}

const weightsFile = 'a file of weights (.safetensors, or as torch.save writes it)';
const otherModels =
  "a run folder, hf:owner/name, pretrained:NAME or models:NAME (see 'mamba-prune models')";

/**
 * The file that a MODEL|RUN argument means on this machine.
 * @throws UsageError if there is none, or it is an ONNX file that the command does not take
 */
export function modelPath(argument: string, options: ModelPathOptions = {}): string {
  const stat = statOf(argument);
  if (!stat) {
    const onnx = options.takesOnnx === true ? ', an .onnx file' : '';
    throw new UsageError(
      `${argument} ${whyMissing(argument)}, expected ${weightsFile}${onnx}, ${otherModels}.${otherwiseMeant(argument)}`,
    );
  }
  return stat.isDirectory() ? inFolder(argument, options) : checkedFile(argument, options);
}

/** What is no path here may be the name of a trained model, as `mamba-prune models` lists it, or of a repository. */
function otherwiseMeant(argument: string): string {
  const trained = boxedModelsIfAny().find(({ name }) => name === argument);
  if (trained) return ` The trained model of this name is written ${boxedArgument(trained)}.`;
  const isName = /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(argument);
  return isName && statOf(dirname(argument)) === undefined
    ? ` A repository of the hub is written hf:${argument}.`
    : '';
}

/** @throws UsageError for a path that nothing can have, such as a ring of links */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A file where the path has a folder.
    if (code === 'ENOTDIR') return undefined;
    throw new UsageError(
      `${path} cannot be opened (${(error as Error).message}), expected ${weightsFile}, ${otherModels}.`,
      { cause: error },
    );
  }
}

export function checkedFile(path: string, { takesOnnx = false }: ModelPathOptions = {}): string {
  refuseShard(path);
  refuseDcpPart(path);
  if (takesOnnx || !isOnnx(path)) return path;
  throw new UsageError(
    `${path} is an ONNX file, which only eval, predict and bench take. ` +
      'Give the .safetensors file or the run that it was made from.',
  );
}

/** @throws UsageError for one of the files that weights are split over, where the index of all lies beside it */
function refuseShard(path: string): void {
  if (!isShard(path)) return;
  const folder = dirname(path);
  const index = shardIndexAmong(readdirSync(folder).sort());
  if (index === undefined) return;
  throw new UsageError(
    `${path} is one of several files that weights are split over. Give the folder, ${folder}, or their index, ${join(folder, index)}.`,
  );
}

/** What is said of a run that has no model yet. */
function unfinished(folder: string): string {
  const { isWritten, bestModel } = RunFolder.open(folder);
  const best = existsSync(bestModel)
    ? ` ${bestModel} is the best model of its evaluations so far.`
    : '';
  return (
    `${folder} has no ${modelFileName} yet: its training ` +
    (isWritten
      ? `goes on in another process. Wait for its end.${best}`
      : `is not finished. Resume it (\`train.resume\`).${best}`)
  );
}

/** Of a run, or of a repository of the hub that was downloaded by other means. */
function inFolder(folder: string, { onNote }: ModelPathOptions): string {
  const usual = join(folder, modelFileName);
  if (existsSync(usual)) return usual;
  if (isRun(folder)) throw new UsageError(unfinished(folder));
  const files = readdirSync(folder).sort();
  const { file, candidates: whole } = chooseWeights(files);
  // Lightning has a small file of torch.save among the parts.
  if (file !== torchFileName) refuseDcpFolder(folder, files);
  // The index of split weights stands for all of them; only a whole file of the usual name goes before.
  const index = shardIndexAmong(files);
  const chosen = file === torchFileName ? file : (index ?? file);
  const candidates = index === undefined ? whole : [index, ...whole];
  const [first, another] = candidates;
  if (chosen !== undefined) {
    if (another !== undefined) {
      const others = candidates.filter((name) => name !== chosen).map(printableLine);
      onNote?.(
        `${folder} has several files of weights: ${chosen} was taken, not ${others.join(', ')}. ` +
          'Another one is taken where its own path is given.',
      );
    }
    return join(folder, chosen);
  }
  const zero = zeroModelIn(folder, files);
  if (zero !== undefined) {
    onNote?.(
      `${folder} is a checkpoint of DeepSpeed: ${printableLine(zero)} was taken, whose weights are as the model computed with them, often in half ` +
        'precision. Its zero_to_fp32.py makes a file of float32.',
    );
    return zero;
  }
  throw new UsageError(
    first === undefined
      ? `${folder} is a folder without ${modelFileName}, expected a run folder or ${weightsFile}.`
      : `${folder} has several files of weights (${candidates.slice(0, 6).map(printableLine).join(', ')}), expected one. ` +
          `Give its path, such as ${join(folder, first)}.`,
  );
}

/** Whether the config.json of a folder is that of a run, and not that of another program. */
export function isRun(folder: string): boolean {
  try {
    const path = join(folder, 'config.json');
    const config: unknown = JSON.parse(readTextFile(path, { most: 2 ** 24 }));
    const kind =
      typeof config === 'object' && config !== null && 'kind' in config ? config.kind : '';
    return typeof kind === 'string' && kind.startsWith('mamba-prune');
  } catch {
    return false;
  }
}
