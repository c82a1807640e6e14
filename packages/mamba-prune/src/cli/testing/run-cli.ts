// For tests: commands run in this process, with what they print captured.
import { run } from '../program.js';

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line as `mamba-prune ...argv` would, without a terminal. */
export async function runCli(
  argv: readonly string[],
  { tty = false, env = {} }: { readonly tty?: boolean; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  const stream = (lines: string[]) => ({
    isTTY: tty,
    columns: 80,
    write: (text: string) => lines.push(text),
  });
  const status = await run(argv, { stdout: stream(out), stderr: stream(err), env });
  return { status, stdout: out.join(''), stderr: err.join('') };
}
