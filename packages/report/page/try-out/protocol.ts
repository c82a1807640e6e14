// What the page and its worker say to each other.

export type Backend = 'wasm' | 'webgpu';

export type Request =
  | { readonly type: 'runtime'; readonly wasm: ArrayBuffer }
  | { readonly type: 'load'; readonly models: readonly Uint8Array[]; readonly backend: Backend }
  | {
      readonly type: 'run';
      /** uint8 [1, channels, side, side], one per model. */
      readonly images: readonly ImageInput[];
    };

export interface ImageInput {
  readonly pixels: Uint8Array;
  readonly shape: readonly [1, number, number, number];
}

/** Of one model. */
export interface RunResult {
  readonly probabilities: Float32Array;
  /** Of one image, in ms; the models took turns. */
  readonly medianMs: number;
  readonly times: number;
}

export type Answer =
  | { readonly type: 'loaded'; readonly threads: number }
  | { readonly type: 'result'; readonly results: readonly RunResult[] }
  | { readonly type: 'error'; readonly message: string };
