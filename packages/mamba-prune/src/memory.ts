/** Running out of memory, in words that say what to do. */

/** The device has not enough memory for a batch. Nothing of the step that failed was saved. */
export class OutOfMemoryError extends Error {
  override readonly name = 'OutOfMemoryError';

  readonly batchSize: number;
  readonly device: string;

  constructor(message: string, batchSize: number, device: string, options?: ErrorOptions) {
    super(message, options);
    this.batchSize = batchSize;
    this.device = device;
  }
}

/** libtorch has no code for it: its allocators, CUDA itself and cuBLAS each have words of their own. */
const signs = [
  'CUDA out of memory',
  'CUDA error: out of memory',
  'CUBLAS_STATUS_ALLOC_FAILED',
  'CUDNN_STATUS_ALLOC_FAILED',
  "DefaultCPUAllocator: can't allocate memory",
  'DefaultCPUAllocator: not enough memory',
];

/** Whether an operator of libtorch failed because it got no memory. */
export function isOutOfMemory(error: unknown): boolean {
  return (
    error instanceof OutOfMemoryError ||
    (error instanceof Error && signs.some((sign) => error.message.includes(sign)))
  );
}

/**
 * Running out of memory where no batch is to blame: a model that moves to a GPU, say.
 * @returns a sentence in place of libtorch's words, or undefined for another error
 */
export function memorySentence(error: unknown): string | undefined {
  if (error instanceof OutOfMemoryError || !isOutOfMemory(error)) return undefined;
  const { message } = error as Error;
  const found = amounts(message);
  const facts = found.length > 0 ? ` (${found.join(', ')})` : '';
  return message.includes('DefaultCPUAllocator')
    ? `The machine's memory does not suffice${facts}. See what else runs, or take fewer images at a time.`
    : `The GPU's memory does not suffice${facts}. See by nvidia-smi who else uses it and wait for them, or take fewer images at a time.`;
}

export interface MemoryUse {
  /** The command or function, as its messages begin. */
  readonly where: string;
  /** Images at a time. */
  readonly batchSize: number;
  readonly device: string;
  /** What the user may do, a sentence. */
  readonly advice: string;
}

/**
 * Runs `body`; where the device's memory does not suffice, the error says so.
 * @throws OutOfMemoryError in place of libtorch's error
 */
export function explainingMemory<T>(use: () => MemoryUse, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw isOutOfMemory(error) ? outOfMemory(use(), error) : error;
  }
}

export function outOfMemory(
  { where, batchSize, device, advice }: MemoryUse,
  cause: unknown,
): OutOfMemoryError {
  if (cause instanceof OutOfMemoryError) return cause;
  const found = amounts((cause as Error).message);
  return new OutOfMemoryError(
    `${where}: the memory of ${device} does not suffice for ${batchSize} ${batchSize === 1 ? 'image' : 'images'} at a time` +
      `${found.length > 0 ? ` (${found.join(', ')})` : ''}. ${advice}`,
    batchSize,
    device,
    { cause },
  );
}

/** What libtorch's message tells: its wording differs between versions. */
function amounts(message: string): string[] {
  const size = '(\\d+(?:\\.\\d+)? [KMGT]?i?B|\\d+ bytes)';
  const facts = [
    ['asked for', `[Tt]rie?d? to allocate ${size}`],
    ['in all', `(?:total capacity of|; ) ?${size}(?= total capacity| of which)`],
    ['free', `(?:of which|;) ${size}(?= is free| free)`],
  ] as const;
  return facts.flatMap(([name, pattern]) => {
    const match = new RegExp(pattern).exec(message);
    return match?.[1] === undefined
      ? []
      : [name === 'asked for' ? `${name} ${match[1]}` : `${match[1]} ${name}`];
  });
}
