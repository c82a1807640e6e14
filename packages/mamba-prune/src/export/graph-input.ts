// The input of an ONNX file: its name and type, what of the preparation is left to the graph, and how pixels become it.
import { FormatError } from '@mamba-prune/libtorch';
import type { ModelInfo } from '../models/model-file.js';
import { type InputType, inputTypes } from '../onnx/choices.js';
import type { GraphBuilder, Value } from '../onnx/graph-builder.js';
import { add, cast, conv, mul } from '../onnx/operators.js';
import { type ModelProto, elementTypes } from '../onnx/messages.js';

interface GraphInput {
  readonly name: string;
  readonly element: 'uint8' | 'float32';
  /** For people, behind the size of the images. */
  readonly range: string;
}

/** Two types under one name are told apart by their elements, so that a file says all of it itself. */
const graphInputs: Readonly<Record<InputType, GraphInput>> = {
  uint8: { name: 'images', element: 'uint8', range: '0 to 255' },
  float32: { name: 'images', element: 'float32', range: '0 to 1' },
  // What the image processors of transformers give, and its models take.
  'pixel-values': { name: 'pixel_values', element: 'float32', range: 'normalised' },
};

export const inputName = (input: InputType): string => graphInputs[input].name;

/** Share of red, green and blue in grey: ITU-R BT.601, in the whole numbers by which pictures are made grey elsewhere. */
const greyShares = [19595, 38470, 7471].map((share) => share / 65536);

/** Image processors give three channels to every model, so that a grey one gets its channel from them in the graph. */
const channelsOf = (input: InputType, channels: number): number =>
  input === 'pixel-values' ? 3 : channels;

type Described = Pick<ModelInfo, 'mean' | 'std'>;

interface Size {
  readonly channels: number;
  readonly imageSize: number;
}

/** The graph's input, and what the model takes: float32 [batch, channels, imageSize, imageSize], normalised. */
export function normalisedImage(
  g: GraphBuilder,
  input: InputType,
  { channels, imageSize }: Size,
  info: Described,
): Value {
  const { name, element, range } = graphInputs[input];
  const given = channelsOf(input, channels);
  const images = g.input(
    name,
    element,
    ['batch', given, imageSize, imageSize],
    `${given === 1 ? 'grey' : 'RGB'} images of ${imageSize}x${imageSize} pixels, ${range}`,
  );
  if (input !== 'pixel-values') return normalised(g.at('normalise'), images, info, input);
  if (given === channels) return images;
  return normalised(g.at('normalise'), greyLevels(g.at('grey'), images, info), info, 'uint8');
}

/**
 * Levels of grey, rounded as where pictures are made grey elsewhere, of normalised colours. In float32 a level that is next to
 * a half may come out as its neighbour, which is one pixel in some thousands.
 */
function greyLevels(
  g: GraphBuilder,
  images: Value,
  { mean: [mean = 0], std: [std = 1] }: Described,
): Value {
  const weights = greyShares.map((share) => share * 255 * std);
  const level = conv(
    g,
    images,
    g.constant('shares', 'float32', weights, [1, 3, 1, 1]),
    // The shares make 1 together; with a half more, rounding down is rounding.
    g.constant('offset', 'float32', [255 * mean + 0.5], [1]),
    { pads: [0, 0] },
  );
  return g.node('Floor', [level], level);
}

/** (pixel / 255 - mean) / std as one product and one sum, with the program's own rounding. */
function normalised(
  g: GraphBuilder,
  images: Value,
  { mean, std }: Described,
  input: InputType,
): Value {
  const full = input === 'uint8' ? 255 : 1;
  const perChannel = (name: string, values: readonly number[]): Value =>
    g.constant(name, 'float32', values, [1, values.length, 1, 1]);
  const scale = perChannel(
    'scale',
    std.map((value) => 1 / (full * value)),
  );
  const shift = perChannel(
    'shift',
    std.map((value, i) => -(mean[i] as number) / value),
  );
  return add(g, mul(g, cast(g, images, 'float32'), scale), shift);
}

/** @throws FormatError for an input that no file of ours has */
export function inputTypeOf({ graph }: ModelProto, where: string): InputType {
  const type = inputTypes.find((one) => {
    const { name, element } = graphInputs[one];
    const found = graph.input.find((input) => input.name === name);
    return found?.type.tensor_type.elem_type === elementTypes[element];
  });
  if (type !== undefined) return type;
  const known = inputTypes.map(
    (one) => `'${graphInputs[one].name}' of ${graphInputs[one].element}`,
  );
  throw new FormatError(
    `${where}: expected an input ${known.join(' or ')}, as mamba-prune export writes it.`,
  );
}

/** What a graph is given for pixels. */
export interface GraphFeed {
  readonly data: Uint8Array | Float32Array;
  readonly dims: readonly number[];
}

/**
 * @param pixels - planar, 0 to 255, [batch, channels, imageSize, imageSize]
 * @param info - of the model, with its normalisation
 */
export function feedOf(
  input: InputType,
  pixels: Uint8Array,
  { channels, imageSize: side }: Size,
  { mean, std }: Described,
): GraphFeed {
  const plane = side * side;
  const batch = pixels.length / (channels * plane);
  const dims = [batch, channelsOf(input, channels), side, side];
  if (input === 'uint8') return { data: pixels, dims };
  if (input === 'float32') return { data: Float32Array.from(pixels, (value) => value / 255), dims };
  const data = new Float32Array(dims.reduce((product, size) => product * size, 1));
  const copies = channelsOf(input, channels) / channels;
  pixels.forEach((value, i) => {
    const [image, channel] = [Math.floor(i / (channels * plane)), Math.floor(i / plane) % channels];
    const normal = (value / 255 - (mean[channel] as number)) / (std[channel] as number);
    // Grey is red, green and blue alike.
    for (let copy = 0; copy < copies; copy++) {
      data[((image * channels + channel) * copies + copy) * plane + (i % plane)] = normal;
    }
  });
  return { data, dims };
}
