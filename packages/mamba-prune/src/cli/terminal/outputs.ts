// What becomes of stdout and stderr when they cannot be written: a reader that has gone, a full disk.
// Node.js reports that as an event, which without a listener ends the process wherever it is.

/** A stream of the process, as far as it matters here. */
export interface OutputStream {
  write(text: string, done: () => void): unknown;
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}

export interface Outputs {
  /**
   * Waits until everything is written.
   * @param status - that the work ended with
   * @returns the same, or 1 if it was 0 and the results did not get to where they were to go
   */
  finish(status: number): Promise<number>;
}

/**
 * Listens to both. Lost progress and messages on stderr change nothing; nor does a reader of stdout that
 * had enough (`mamba-prune inspect MODEL | head -1`). Any other failure of stdout has lost results.
 * @param program - as its messages begin
 */
export function guardOutputs(
  { stdout, stderr }: { readonly stdout: OutputStream; readonly stderr: OutputStream },
  program: string,
): Outputs {
  let failure: NodeJS.ErrnoException | undefined;
  stdout.on('error', (error) => (failure ??= error));
  stderr.on('error', () => undefined);
  return {
    async finish(status) {
      await written(stdout, '');
      if (failure === undefined || failure.code === 'EPIPE') return status;
      const { message } = failure;
      await written(
        stderr,
        `${program}: the output could not be written (${message}). It is lost.\n`,
      );
      return status === 0 ? 1 : status;
    },
  };
}

/** The callback comes after a failure too. */
const written = (stream: OutputStream, text: string): Promise<void> =>
  new Promise((resolve) => {
    stream.write(text, resolve);
  });
