// For tests of what commands print, without the commands.
import { Context } from '../context.js';
import type { CommonOptions } from '../options/common.js';

export interface FakeContext {
  readonly context: Context;
  /** What was printed on stdout so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
}

/** A context that captures; no terminal and no colours unless asked for. */
export function fakeContext({
  columns = 80,
  env = {},
}: { readonly columns?: number; readonly env?: NodeJS.ProcessEnv } = {}): FakeContext {
  const [out, err]: [string[], string[]] = [[], []];
  const stream = (lines: string[]) => ({ columns, write: (text: string) => lines.push(text) });
  const options: CommonOptions = { device: 'cpu', seed: 0 };
  const context = new Context({ stdout: stream(out), stderr: stream(err), env }, options);
  return { context, stdout: () => out.join(''), stderr: () => err.join('') };
}
