// config.json and preprocessor_config.json, by which libraries of the hub know what a folder holds.
import { hubConfigKey } from '../../hub-names.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import { shorterSide } from '../../preparation/geometry.js';
import { preprocessingOf } from '../../preparation/preprocessing.js';
import { packageVersion } from '../../version.js';

/**
 * transformers.js has no class for any model, and looks `model_type` up in a fixed table of those that classify images; what
 * is not in it is refused before a file is opened. Behind every entry of the table is the same: `onnx/model.onnx` is run on
 * `pixel_values`, and its `logits` are taken. So the name of an entry opens the door to any graph, a vision Mamba's too.
 *
 * It must be none that Python's transformers has, such as `vit`: that would make the architecture of this name, find none of
 * its weights in model.safetensors, and classify with random ones after a warning. It has no `fastvit`, and says so.
 */
const modelType = 'fastvit';

export function configJson(model: ImageModel, info: ModelInfo): object {
  const { config } = model;
  // As transformers names classes that have no names: whoever looks one up finds something, and readers know that it means nothing.
  const classes =
    info.classes.length > 0
      ? info.classes
      : Array.from({ length: config.numClasses }, (_, index) => `LABEL_${index}`);
  return {
    architectures: [model.constructor.name],
    model_type: modelType,
    image_size: config.imageSize,
    num_channels: config.channels,
    id2label: Object.fromEntries(classes.entries()),
    label2id: Object.fromEntries(classes.map((name, index) => [name, index])),
    dtype: 'float32',
    [hubConfigKey]: { version: packageVersion(), model: config },
  };
}

/** Numbers of Pillow's filters. */
const resample = { bilinear: 2, bicubic: 3 } as const;

/**
 * How a picture becomes `pixel_values`. BitImageProcessor is the plain one of transformers: shorter side, centre crop,
 * 0 to 1, mean and deviation, each as the file says; transformers.js has the same steps for every name.
 */
export function preprocessorJson({ config }: ImageModel, info: ModelInfo): object {
  const { channels, imageSize } = config;
  const { interpolation, cropShare } = preprocessingOf(info, imageSize);
  // Processors give three channels; the graph of a model that takes grey images makes one of them.
  const rgb = (values: readonly number[]): readonly number[] =>
    channels === 3 ? values : [0, 1, 2].map(() => values[0] as number);
  return {
    image_processor_type: 'BitImageProcessor',
    do_convert_rgb: true,
    do_resize: true,
    size: { shortest_edge: shorterSide(imageSize, cropShare) },
    resample: resample[interpolation],
    do_center_crop: true,
    crop_size: { height: imageSize, width: imageSize },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: rgb(info.mean),
    image_std: rgb(info.std),
  };
}
