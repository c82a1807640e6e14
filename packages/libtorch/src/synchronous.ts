// Functions that are given work hold something only while it runs: a scope, a mode, a profile. What an asynchronous
// function does later would not be in it.

/**
 * @param where - the function that was given the work, for the error
 * @param result - what the work returned
 * @throws TypeError if that is a promise, whose own failure is then nobody's concern
 */
export function refusePromise(where: string, result: unknown): void {
  if (!(result instanceof Promise)) return;
  result.catch(() => undefined); // the TypeError below says what matters
  throw new TypeError(
    `${where}: got an async function, expected a synchronous one. Await outside.`,
  );
}
