// A trained model as an ONNX model: from pixels to probabilities.
import { nn, scope } from '@mamba-prune/libtorch';
import { checksOf } from '../checks.js';
import { UsageError } from '../errors.js';
import { familyNamed } from '../models/families.js';
import { checkInfo } from '../models/file-checks.js';
import type { ImageModel } from '../models/image-model.js';
import { type ModelInfo, metadataKey, modelMetadata } from '../models/model-file.js';
import { handedOn } from '../models/handed-on.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import {
  type FloatType,
  type InputType,
  type Quantization,
  type ScanOp,
  floatTypes,
  inputTypes,
  quantizations,
  scanOpFor,
  scanOps,
} from '../onnx/choices.js';
import { GraphBuilder, type Value } from '../onnx/graph-builder.js';
import { Layers } from '../onnx/layers.js';
import { modelOf } from '../onnx/model.js';
import { cast, softmax } from '../onnx/operators.js';
import type { ModelProto } from '../onnx/messages.js';
import { normalisedImage } from './graph-input.js';

/** Names of the graph's outputs. */
export const tensorNames = {
  logits: 'logits',
  probabilities: 'probabilities',
} as const;

/** Key of metadata_props whose value is the JSON array of the class names. */
const classesKey = 'classes';

export interface BuildOptions {
  /** Default `uint8`. */
  readonly input?: InputType;
  /** Vision Mamba. Default `scan-adaptive`. */
  readonly scanOp?: ScanOp;
  /** What it computes in. Default `float32`. */
  readonly dtype?: FloatType;
  /** Weights as integers. None by default. */
  readonly quantize?: Quantization | undefined;
}

export const buildKinds: OptionKinds<BuildOptions> = {
  input: 'string',
  scanOp: 'string',
  dtype: 'string',
  quantize: 'string',
};

/**
 * The graph of a model, dense or pruned, with its weights: `images` to `logits` and `probabilities`,
 * [batch, classes]. Normalisation is part of it, unless the input is `pixel-values`; metadata_props holds what a
 * model file has as metadata.
 */
export function buildOnnxModel(
  model: ImageModel,
  info: ModelInfo,
  options: BuildOptions = {},
): ModelProto {
  checkOptions('buildOnnxModel', options, buildKinds);
  if (!((model as unknown) instanceof nn.Module)) {
    throw new UsageError(
      'ONNX export: got no model, expected one such as loadModel or createModel gives.',
    );
  }
  if (!Array.isArray((info as Partial<ModelInfo> | undefined)?.classes)) {
    throw new UsageError(
      'ONNX export: got no information on the model with its classes, expected what loadModel gives as info.',
    );
  }
  checkInfo('ONNX export', model.config, info);
  const { input = 'uint8', scanOp = scanOpFor.cpu, dtype = 'float32', quantize } = options;
  checkChoices({ input, scanOp, dtype, quantize });
  checkQuantization(model, quantize);
  checkNorms(model);
  const { arch, imageSize } = model.config;
  return scope(() => {
    const g = new GraphBuilder();
    const image = cast(g, normalisedImage(g, input, model.config, info), dtype);
    const layers = Layers.of(model, g, { type: dtype, quantize });
    const logits = graphOf(model, layers, image, scanOp);
    const outputs = [
      g.node('Identity', [logits], logits, { name: tensorNames.logits }),
      softmax(g, logits, { name: tensorNames.probabilities }),
    ];
    return modelOf(g, outputs, {
      name: arch,
      doc: `${arch}, written by mamba-prune. Classes: ${info.classes.join(', ')}`,
      metadata: {
        [metadataKey]: modelMetadata(model, handedOn(info, imageSize)),
        [classesKey]: JSON.stringify(info.classes),
      },
    });
  });
}

/** @throws UsageError for a choice that there is not, which would else be written as another one */
function checkChoices({ input, scanOp, dtype, quantize }: BuildOptions): void {
  const { oneOf } = checksOf('ONNX export');
  oneOf('input', input, inputTypes);
  oneOf('scanOp', scanOp, scanOps);
  oneOf('dtype', dtype, floatTypes);
  if (quantize !== undefined) oneOf('quantize', quantize, quantizations);
}

function checkQuantization({ config }: ImageModel, quantize: Quantization | undefined): void {
  if (quantize !== 'int8-dynamic' || familyNamed(config).onnx?.isConvolutional !== true) return;
  throw new UsageError(
    `ONNX export: got int8-dynamic for ${config.arch}, whose layers are convolutions; it is for linear layers. ` +
      'Use int8, which keeps the weights of convolutions in a quarter of the bytes.',
  );
}

/** A graph has what a file has: the weights, and not how much each unit counts in a norm. */
function checkNorms(model: ImageModel): void {
  const weighing = model.pruningGroups().find(({ name }) => model.normOver?.(name)?.isWeighing);
  if (!weighing) return;
  throw new UsageError(
    `ONNX export: got a model in which a norm weighs the units of '${weighing.name}', since they are masked or RSST shrinks them, ` +
      'expected one that normalises over all of its units. Cut the model (pruneModel) and export what that gives.',
  );
}

function graphOf({ config }: ImageModel, layers: Layers, image: Value, scanOp: ScanOp): Value {
  const { onnx, title } = familyNamed(config);
  if (onnx) return onnx.build(config, layers, image, { scanOp });
  throw new UsageError(
    `ONNX export: got ${config.arch}, a ${title}, whose family does not say how it is written as an ONNX graph. ` +
      'Give the family an onnx.build.',
  );
}
