// A model as a folder of the Hugging Face Hub: weights, ONNX files, what describes them, and the card.
import { randomBytes } from 'node:crypto';
import { existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { writeFileAtomic } from '@mamba-prune/libtorch/files';
import type { Dataset } from '../../data/types.js';
import { UsageError } from '../../errors.js';
import { filesBelow } from '../../files/files-below.js';
import { makeFolder } from '../../files/folder.js';
import { checkLicense, checkRepo } from '../../hub-names.js';
import { handedOn } from '../../models/handed-on.js';
import type { ImageModel } from '../../models/image-model.js';
import { type ModelInfo, saveHandedOn } from '../../models/model-file.js';
import { losslessDtype, storedText } from '../../models/stored-weights.js';
import { type ScanOp, scanOps } from '../../onnx/choices.js';
import { type OptionKinds, checkOptions, requirePath } from '../../option-checks.js';
import type { MeasuredAccuracy } from '../accuracy.js';
import type { BuildOptions } from '../build-model.js';
import { exportOnnx } from '../export-onnx.js';
import { measureForms } from '../measure-forms.js';
import { isRounded, precisionName, toleranceOf } from '../tolerance.js';
import { type Verification, VerificationError } from '../verify.js';
import { configJson, preprocessorJson } from './config-files.js';
import { factsOf, published } from './facts.js';
import { modelCard } from './model-card.js';

export interface HubFolderOptions {
  /** As the hub spells it, such as `mit`. Default `unknown`. */
  readonly license?: string | undefined;
  /** `owner/name`, which the card's examples have. By default the name of the folder below `OWNER`. */
  readonly repo?: string | undefined;
  /** Of a vision Mamba. Default `scan-adaptive`. */
  readonly scanOp?: ScanOp | undefined;
  /** To compare the ONNX files with the model: uint8 [n, channels, height, width]. By default made up. */
  readonly images?: Uint8Array | undefined;
  /** Whether the ONNX files are run and compared with the model, for which onnxruntime-node is needed. Default `true`. */
  readonly verify?: boolean | undefined;
  /** The card then has the accuracy of every file on test images of it. */
  readonly accuracy?: AccuracyRequest | undefined;
}

export interface AccuracyRequest {
  readonly dataset: Dataset;
  /** At most so many test images, evenly over the classes. Default `2000`. */
  readonly images?: number;
  /** Of the choice of images. Default `0`. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

const folderKinds: OptionKinds<HubFolderOptions> = {
  license: 'string',
  repo: 'string',
  scanOp: 'string',
  images: 'any',
  verify: 'boolean',
  accuracy: 'object',
};

export interface HubFolder {
  /** Below the folder, with slashes. */
  readonly files: readonly { readonly file: string; readonly fileBytes: number }[];
  readonly forms: readonly HubForm[];
  /** Those whose logits are too far from the model's, which does not bear so few bits: they are not in the folder. */
  readonly leftOut: readonly LeftOutForm[];
  /** Of the model itself; null if no data set was given. */
  readonly accuracy: MeasuredAccuracy | null;
}

/** One of the ONNX files. */
export interface HubForm {
  readonly file: string;
  /** What transformers.js calls it. */
  readonly dtype: string;
  readonly precision: string;
  readonly fileBytes: number;
  readonly verification: Verification | null;
  readonly accuracy: MeasuredAccuracy | null;
}

/** An ONNX file that the folder does not have, and why. */
export interface LeftOutForm extends Pick<HubForm, 'file' | 'dtype' | 'precision'> {
  /** By how much its logits may differ from the model's, as a share of the largest. */
  readonly tolerance: number;
}

/**
 * The files by the names under which transformers.js looks for a dtype. Its `q8` is here int8 weights that are computed
 * with as floats: those of all families, and the result of an image does not depend on its neighbours.
 */
const onnxForms: readonly (Pick<HubForm, 'file' | 'dtype'> & { readonly build: BuildOptions })[] = [
  { file: 'onnx/model.onnx', dtype: 'fp32', build: {} },
  { file: 'onnx/model_fp16.onnx', dtype: 'fp16', build: { dtype: 'float16' } },
  { file: 'onnx/model_quantized.onnx', dtype: 'q8', build: { quantize: 'int8' } },
];

const weightsFile = 'model.safetensors';

/**
 * Writes a folder as the hub's libraries expect it: model.safetensors, config.json, preprocessor_config.json,
 * onnx/model.onnx with its forms in fewer bits, and README.md. The ONNX files go from `pixel_values` to `logits`, and
 * onnxruntime has computed the model's own logits with each before the folder is there; a form in fewer bits that does not
 * give them is left out. In a folder that exists, files of these names are replaced and others stay.
 *
 * @param folder - may be there already
 * @throws UsageError for a license or name that the hub has none of; otherwise as `exportOnnx`, and then nothing is written
 */
export async function exportHubFolder(
  folder: string,
  model: ImageModel,
  info: ModelInfo,
  options: HubFolderOptions = {},
): Promise<HubFolder> {
  requirePath('exportHubFolder', folder, 'the folder to write');
  checkOptions('exportHubFolder', options, folderKinds);
  const { license, repo, scanOp } = options;
  if (license !== undefined) checkLicense('exportHubFolder: license', license);
  if (repo !== undefined) checkRepo('exportHubFolder: repo', repo);
  if (scanOp !== undefined && !scanOps.includes(scanOp)) {
    throw new UsageError(
      `exportHubFolder: scanOp: got ${scanOp}, expected ${scanOps.join(' or ')}.`,
    );
  }
  const target = resolve(folder);
  makeFolder(dirname(target));
  // Beside it, so that it can be moved: half a folder is never there.
  const draft = join(
    dirname(target),
    `.${basename(target)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`,
  );
  makeFolder(draft);
  try {
    const name = repo ?? `OWNER/${basename(target).replaceAll(/[^\w.-]/g, '-')}`;
    const written = await writeInto(draft, model, published(info), { ...options, repo: name });
    moveInto(draft, target);
    // An earlier export's would be of another model.
    for (const { file } of written.leftOut) rmSync(join(target, file), { force: true });
    return written;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

async function writeInto(
  draft: string,
  model: ImageModel,
  info: ModelInfo,
  options: HubFolderOptions & { readonly repo: string },
): Promise<HubFolder> {
  const { scanOp, verify, images, license = 'unknown', repo } = options;
  const described = handedOn(info, model.config.imageSize);
  const stored = losslessDtype(model.stateDict());
  saveHandedOn(join(draft, weightsFile), model, described, stored);
  makeFolder(join(draft, 'onnx'));
  const exported: Omit<HubForm, 'accuracy'>[] = [];
  const leftOut: LeftOutForm[] = [];
  for (const { file, dtype, build } of onnxForms) {
    const form = { file, dtype, precision: precisionName(build) };
    try {
      const { fileBytes, verification = null } = await exportOnnx(
        join(draft, file),
        model,
        described,
        {
          ...build,
          input: 'pixel-values',
          ...(scanOp && { scanOp }),
          ...(verify !== undefined && { verify }),
          ...(images && { images }),
        },
      );
      exported.push({ ...form, fileBytes, verification });
    } catch (error) {
      if (!(error instanceof VerificationError) || !isRounded(build)) throw error;
      leftOut.push({ ...form, tolerance: toleranceOf(build) });
    }
  }
  const [own = null, ...measured] = await accuracies(draft, exported, model, described, options);
  const forms = exported.map((form, i): HubForm => ({ ...form, accuracy: measured[i] ?? null }));
  const weights = {
    file: weightsFile,
    precision: storedText(stored),
    fileBytes: statSync(join(draft, weightsFile)).size,
    accuracy: own?.accuracy,
  };
  writeJson(join(draft, 'config.json'), configJson(model, described));
  writeJson(join(draft, 'preprocessor_config.json'), preprocessorJson(model, described));
  const card = modelCard(model, described, {
    repo,
    license,
    facts: factsOf(model, described),
    files: [weights, ...forms.map((form) => ({ ...form, accuracy: form.accuracy?.accuracy }))],
    ...(options.accuracy &&
      own && {
        measuredOn: {
          dataset: options.accuracy.dataset.info.name,
          images: own.images,
          of: options.accuracy.dataset.test.length,
        },
      }),
  });
  writeFileAtomic(join(draft, 'README.md'), card);
  return { files: filesBelow(draft), forms, leftOut, accuracy: own };
}

const writeJson = (path: string, value: object): void => {
  writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);
};

/** Of the model and the ONNX files, on the same images; empty without a data set. */
async function accuracies(
  draft: string,
  forms: readonly Pick<HubForm, 'file'>[],
  model: ImageModel,
  info: ModelInfo,
  { accuracy }: HubFolderOptions,
): Promise<MeasuredAccuracy[]> {
  if (accuracy === undefined) return [];
  const { dataset, images = 2000, ...more } = accuracy;
  const paths = forms.map(({ file }) => join(draft, file));
  const options = { images: Math.min(images, dataset.test.length), ...more };
  return measureForms(model, info, paths, dataset, options);
}

/** The whole folder at once where there is none yet, file by file into one that there is. */
function moveInto(draft: string, target: string): void {
  if (!existsSync(target)) {
    renameSync(draft, target);
    return;
  }
  for (const { file } of filesBelow(draft)) {
    makeFolder(dirname(join(target, file)));
    renameSync(join(draft, file), join(target, file));
  }
}
