// For tests: commands run in this process, with what they print captured.
import { run } from '../program.js';

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunCliOptions {
  readonly tty?: boolean;
  readonly env?: NodeJS.ProcessEnv;
  /** Hears what is printed to standard output when it is. */
  readonly onStdout?: (text: string) => void;
}

/** Runs a command line as `mamba-prune ...argv` would, without a terminal. */
export async function runCli(
  argv: readonly string[],
  { tty = false, env = {}, onStdout }: RunCliOptions = {},
): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  const stream = (lines: string[], heard?: (text: string) => void) => ({
    isTTY: tty,
    columns: 80,
    write: (text: string) => {
      lines.push(text);
      heard?.(text);
    },
  });
  const status = await run(argv, { stdout: stream(out, onStdout), stderr: stream(err), env });
  return { status, stdout: out.join(''), stderr: err.join('') };
}
