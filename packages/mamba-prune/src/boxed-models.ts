// Trained models that come as an npm package of their own, @mamba-prune/models: what is in it, and the file that a
// name such as models:cifar10/mamba_small-90 means.
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { z } from 'zod';
import { UsageError } from './errors.js';
import { percent } from './format.js';
import { isPublishedName } from './hub-names.js';

export const boxedPackage = '@mamba-prune/models';
const prefix = 'models:';

/** A folder in place of the installed package: of one's own models, or where no package can be installed. */
const folderVariable = 'MAMBA_PRUNE_MODELS';

const size = z.int().positive();
const share = z.number().min(0).max(1);

const boxedModelSchema = z.object({
  /** `cifar10/mamba_small-90`: the data set, the architecture, and the percentage pruned away. */
  name: z.string().regex(/^[\w.-]+\/[\w.-]+$/),
  /** Of the weights, relative to the package. */
  file: z.string(),
  /** The same with all that is known of the model, as JSON. */
  card: z.string(),
  arch: z.string(),
  dataset: z.string(),
  classes: size,
  /** Side of its images in pixels. */
  imageSize: size,
  channels: size,
  /** How it was pruned, and which share of the units of each kind was removed; null for a dense model. */
  pruning: z.object({ method: z.string(), rates: z.record(z.string(), share) }).nullable(),
  parameters: size,
  /** Multiply-accumulates of one image. */
  macs: size,
  /** On the test images of the data set, of the weights as they are stored; a share of 1. */
  accuracy: share,
  /** Number format of the matrices in the file. */
  dtype: z.string(),
  /** Of the file of weights. */
  bytes: size,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** What the index of the package says of a model. */
export type BoxedModel = z.infer<typeof boxedModelSchema>;

const indexSchema = z.object({ format: z.literal(1), models: z.array(boxedModelSchema) });

/** Whether an argument names a model of the package, rightly spelled or not. */
export const isBoxedName = (text: string): boolean => text.startsWith(prefix);

/** What is typed for a model. */
export const boxedArgument = ({ name }: Pick<BoxedModel, 'name'>): string => prefix + name;

/**
 * The models of the package, in its order.
 * @throws Error saying how to install it, if it is not, or what is wrong with its index
 */
export function boxedModels(): BoxedModel[] {
  return readIndex(requireFolder('The trained models are'));
}

/** As `boxedModels`, for those who can do without: none if the package is not installed. */
export function boxedModelsIfAny(): BoxedModel[] {
  const folder = packageFolder();
  return folder === undefined ? [] : readIndex(folder);
}

/**
 * The file of a model of the package.
 * @param argument - `models:cifar10/mamba_small-90`
 * @throws UsageError for a name that there is not, listing those that there are; Error as `boxedModels`
 */
export function boxedModelFile(argument: string): string {
  const folder = requireFolder(`${argument} is`);
  const models = readIndex(folder);
  const model = models.find((candidate) => boxedArgument(candidate) === argument);
  if (!model) {
    const known = models.map((each) => `${boxedArgument(each)} (${percent(each.accuracy)})`);
    throw new UsageError(
      `got '${argument}', which is no model of ${boxedPackage}, expected one of these, whose accuracy stands behind ` +
        `them: ${known.join(', ')}.`,
    );
  }
  return fileIn(folder, model);
}

/** The file that a library call was told: of a name the model's, anything else as it is. @throws as `boxedModelFile`; UsageError for `pretrained:NAME` */
export function modelFileOf(path: string): string {
  if (isPublishedName(path)) {
    throw new UsageError(
      `${path}: these weights have to be downloaded before they are opened, expected a file: that of \`(await fetchPublished('${path.slice(path.indexOf(':') + 1)}')).path\`.`,
    );
  }
  return isBoxedName(path) ? boxedModelFile(path) : path;
}

/** The name of the model whose file of the package a path is; undefined for any other file. */
export function boxedNameOf(path: string): string | undefined {
  const folder = packageFolder();
  if (folder === undefined) return undefined;
  const inside = relative(join(folder, 'files'), resolve(path));
  const [, name] = /^([\w.-]+\/[\w.-]+)\.safetensors$/.exec(inside.split(sep).join('/')) ?? [];
  return name === undefined || name.startsWith('../') ? undefined : name;
}

/** Whether there is the package, or the folder that stands for it is named, be it there or not. */
export const isBoxExpected = (): boolean =>
  packageFolder() !== undefined || (process.env[folderVariable] ?? '') !== '';

/** Absolute. @throws Error if the package lacks what its index lists */
function fileIn(folder: string, { name, file }: BoxedModel): string {
  const path = join(folder, ...file.split('/'));
  if (existsSync(path)) return path;
  throw new Error(
    `${prefix}${name}: ${path} is not there, though the index of ${boxedPackage} lists it. ` +
      `Install the package anew: npm install ${boxedPackage}`,
  );
}

/** @param subject - of the sentence that says that the package is missing, with its verb */
function requireFolder(subject: string): string {
  const folder = packageFolder();
  if (folder !== undefined) return folder;
  const own = process.env[folderVariable];
  if (own !== undefined && own !== '') {
    throw new Error(
      `${folderVariable}: got '${own}', which is not there, expected a folder with an index.json of trained models. ` +
        `Without it they are those of the package ${boxedPackage}.`,
    );
  }
  throw new Error(
    `${subject} in the package ${boxedPackage}, which is not installed. Run: npm install ${boxedPackage}`,
  );
}

/** Beside this program, or beside the program that uses it: one of the two may be installed for all users. */
function packageFolder(): string | undefined {
  const own = process.env[folderVariable];
  if (own !== undefined && own !== '') return existsSync(own) ? realpathSync(own) : undefined;
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      // Without links: npm links the packages of a workspace, and files are known by their paths.
      return realpathSync(dirname(createRequire(from).resolve(`${boxedPackage}/package.json`)));
    } catch {
      continue;
    }
  }
  return undefined;
}

function readIndex(folder: string): BoxedModel[] {
  const path = join(folder, 'index.json');
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const parsed = indexSchema.safeParse(json);
  if (parsed.success) return parsed.data.models;
  throw new Error(
    `${path} is no index of trained models that this version reads:\n${z.prettifyError(parsed.error)}`,
  );
}
