// Errors that callers can tell apart.
/** An operator of libtorch failed; the message is libtorch's own, without its C++ stack. */
export class TorchError extends Error {
  override readonly name = 'TorchError';
  readonly op: string;

  /** @param op - name of the operator or native function that failed, e.g. `aten::linear` */
  constructor(op: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.op = op;
  }
}

/** A tensor has a shape that the function called cannot take; the message gives both shapes. */
export class ShapeError extends Error {
  override readonly name: string = 'ShapeError';
}

/** A normalisation in training got one value per channel, which has no variance: the batch or its images are too small. */
export class SingleValueError extends ShapeError {
  override readonly name = 'SingleValueError';
}

/** A tensor was used after its memory had been freed. */
export class DisposedError extends Error {
  override readonly name = 'DisposedError';
}

/** A file is damaged, truncated, hostile or of a kind that we do not read; nothing of it was used. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
}

/** Names of a state dict are not those of the model. */
export class StateDictError extends Error {
  override readonly name = 'StateDictError';
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];

  constructor(message: string, missing: readonly string[], unexpected: readonly string[]) {
    super(message);
    this.missing = missing;
    this.unexpected = unexpected;
  }
}

/** The addon could not be loaded, nor built; the message says what to do. */
export class AddonError extends Error {
  override readonly name = 'AddonError';
}
