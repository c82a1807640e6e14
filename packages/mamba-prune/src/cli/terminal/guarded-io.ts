// The last place that text passes on its way to the terminal: whatever was forgotten before is caught here.
import { type CliIo, type TextStream, wantsColour } from './io.js';
import { printable, printableColoured } from './printable.js';

/** The same two places; control characters arrive there as escapes. */
export const guardedIo = (io: CliIo): CliIo => ({
  ...io,
  stdout: guarded(io.stdout, io.env),
  stderr: guarded(io.stderr, io.env),
});

function guarded(stream: TextStream, env: NodeJS.ProcessEnv): TextStream {
  return {
    raw: stream,
    write: (text) =>
      stream.write(wantsColour(stream, env) ? printableColoured(text) : printable(text)),
    get isTTY() {
      return stream.isTTY;
    },
    get columns() {
      return stream.columns;
    },
  };
}
