// What can be chosen about an ONNX file. Loads no native code, so that help and options are quick.

export const inputTypes = ['uint8', 'float32', 'pixel-values'] as const;
/**
 * `uint8`: pixels from 0 to 255. `float32`: the same divided by 255. Both [batch, channels, height, width] under the name
 * `images`. `pixel-values`: as the image processors of transformers give them, under the name `pixel_values`: float32 RGB,
 * [batch, 3, height, width], normalised, also of a model that takes grey images.
 */
export type InputType = (typeof inputTypes)[number];

export const scanOps = ['scan-adaptive', 'scan', 'linear-attention'] as const;
/**
 * `scan`: the standard's Scan, a loop over the positions; every runtime has it.
 * `scan-adaptive`: the same, and in narrow blocks a second one beside it, which an `If` chooses for one image
 * alone: it has a third of the nodes in the loop, and needs memory for length * d_state * d_inner numbers.
 * `linear-attention`: one node of com.microsoft, which onnxruntime computes on WebGPU too.
 */
export type ScanOp = (typeof scanOps)[number];

export const floatTypes = ['float32', 'float16'] as const;
/**
 * What the graph computes in. `float16` is for GPUs; the scan, the mean, the classifier and softmax stay
 * float32, and so do input and outputs.
 */
export type FloatType = (typeof floatTypes)[number];

export const quantizations = ['int8', 'int8-dynamic'] as const;
/**
 * `int8`: weights in a quarter of the bytes, computed with as floats. `int8-dynamic`: products of
 * integers too, for models of linear layers.
 */
export type Quantization = (typeof quantizations)[number];

export const targets = ['cpu', 'webgpu'] as const;
/** What a file is meant to run on; decides what is not chosen by hand. */
export type Target = (typeof targets)[number];

/** On a CPU the loop is several times faster; WebGPU has no kernel for it. */
export const scanOpFor = {
  cpu: 'scan-adaptive',
  webgpu: 'linear-attention',
} as const satisfies Record<Target, ScanOp>;
