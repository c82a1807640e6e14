// The process of the program: its streams, its exit status, and the last resort for errors.
import { checkOpenFiles } from './surroundings.js';
import { guardOutputs } from './terminal/outputs.js';
import { columnsOf, wrapMessage } from './terminal/wrap.js';

const name = 'mamba-prune';
const outputs = guardOutputs(process, name);

// The last resort: whatever nobody else catches is a sentence too, and ends the process.
process.on('uncaughtException', (error: unknown) => {
  process.stderr.write(said(error));
  process.exit(1);
});

// Not by process.exitCode: Node.js takes its handlers of signals away before it frees everything, and one that came
// then would end a process whose work is done.
process.exit(await outputs.finish(await main()));

async function main(): Promise<number> {
  try {
    checkOpenFiles();
    const { run } = await import('./program.js');
    const { processIo } = await import('./terminal/io.js');
    return await run(process.argv.slice(2), processIo());
  } catch (error) {
    process.stderr.write(said(error));
    return 1;
  }
}

function said(error: unknown): string {
  if (!(error instanceof Error)) return `${forTerminal(`${name}: ${String(error)}`)}\n`;
  const isDebugged = process.env['DEBUG']?.includes(name) === true;
  const stack = isDebugged ? `${error.stack ?? ''}\n` : '';
  return `${forTerminal(`${name}: ${error.message}`)}\n${stack}`;
}

/** As the errors of commands are: in lines for people, and for what reads a pipe as it is. */
function forTerminal(text: string): string {
  const { stderr } = process;
  return stderr.isTTY ? wrapMessage(text, columnsOf(stderr)) : text;
}
