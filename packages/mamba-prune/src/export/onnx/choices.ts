// What can be chosen about an ONNX file. Loads no native code, so that help and options are quick.

export const inputTypes = ['uint8', 'float32'] as const;
/** `uint8`: pixels from 0 to 255. `float32`: the same divided by 255. Both RGB, [batch, channels, height, width]. */
export type InputType = (typeof inputTypes)[number];

export const scanOps = ['scan', 'linear-attention'] as const;
/**
 * `scan`: the standard's Scan, a loop over the positions; every runtime has it.
 * `linear-attention`: one node of com.microsoft, which onnxruntime computes on WebGPU too.
 */
export type ScanOp = (typeof scanOps)[number];
