import pc from 'picocolors';

export { columnsOf } from './wrap.js';

/** One of the two places a command writes to. */
export interface TextStream {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  /** What lies behind a stream that escapes control characters, for the bar, which needs them. */
  readonly raw?: TextStream | undefined;
}

/** What a command knows of the world around it, so that tests can run commands in-process. */
export interface CliIo {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly env: NodeJS.ProcessEnv;
  /** The command is all that the process does; tests run many commands in theirs. */
  readonly isWholeProcess?: boolean;
  /** Milliseconds since some beginning, for what depends on time. By default those of the process. */
  readonly now?: (() => number) | undefined;
}

export type Colours = ReturnType<typeof pc.createColors>;

/** NO_COLOR (no-color.org) wins over FORCE_COLOR; otherwise terminals have colours and files have none. */
export function wantsColour(stream: TextStream, env: NodeJS.ProcessEnv): boolean {
  const set = (name: string): boolean => (env[name] ?? '') !== '';
  if (set('NO_COLOR')) return false;
  if (set('FORCE_COLOR')) return !['0', 'false'].includes(env['FORCE_COLOR'] ?? '');
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

export function coloursOf(stream: TextStream, env: NodeJS.ProcessEnv): Colours {
  return pc.createColors(wantsColour(stream, env));
}

export function processIo(): CliIo {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    isWholeProcess: true,
  };
}
