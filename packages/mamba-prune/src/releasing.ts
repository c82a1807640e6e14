// Several things that are opened one after another, and freed together whatever comes between.

/** A model, or what another runtime has opened. */
export type Held = { dispose(): void } | { release(): Promise<void> };

/** Is given each thing as soon as it is open, and gives it back. */
export type Keep = <T extends Held>(thing: T) => T;

/**
 * Runs `body`, then frees what it has kept, the last first: also what was opened before something else that cannot be, and
 * the rest where one of them cannot be freed.
 * @throws what `body` throws, or else what freeing throws
 */
export async function releasing<R>(body: (keep: Keep) => Promise<R>): Promise<R> {
  const held: Held[] = [];
  const keep: Keep = (thing) => {
    held.push(thing);
    return thing;
  };
  let result: R;
  try {
    result = await body(keep);
  } catch (error) {
    // What freeing throws then says less than this.
    await freeAll(held).catch(() => undefined);
    throw error;
  }
  await freeAll(held);
  return result;
}

/** Frees a model when all that is wanted of it is read, also where that fails. */
export function readingOff<M extends { dispose(): void }, R>(model: M, read: (model: M) => R): R {
  try {
    return read(model);
  } finally {
    model.dispose();
  }
}

async function freeAll(held: Held[]): Promise<void> {
  const last = held.pop();
  if (!last) return;
  try {
    if ('release' in last) await last.release();
    else last.dispose();
  } finally {
    await freeAll(held);
  }
}
