/**
 * What is read from files at a time, always into the same memory: V8 would keep a buffer for each tensor long after the
 * tensor has the values, and a model that is read would be in memory twice.
 */
export const pieceBytes = 1024 ** 2;
let buffer: Uint8Array<ArrayBuffer> | undefined;

/** `pieceBytes` of memory, which the next caller is given too. */
export function pieceBuffer(): Uint8Array<ArrayBuffer> {
  return (buffer ??= new Uint8Array(pieceBytes));
}
