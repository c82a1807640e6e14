// For tests: the program as users start it, in a process of its own.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { type Ended, ended } from '../../../../../test/support/children.js';
import { support } from '../../../../../test/support/transpiled.js';

export interface StartOptions {
  /** The working folder, which holds the cache of data sets too. */
  readonly folder: string;
  /** For signal-self.mjs: the process sends itself a signal. */
  readonly signalWhen?: object | undefined;
  /** Scripts of test/support to run before the program. */
  readonly imports?: readonly string[];
  /** As the leader of a group, as a shell makes one: Ctrl-C reaches its children too. */
  readonly detached?: boolean;
}

/** @param main - the transpiled cli/main.js */
export function startProgram(
  main: string,
  argv: readonly string[],
  { folder, signalWhen, imports = [], detached = false }: StartOptions,
): Promise<Ended> {
  const scripts = [...imports, ...(signalWhen ? ['signal-self.mjs'] : [])];
  const hook = scripts.flatMap((name) => ['--import', join(support, name)]);
  const env = {
    ...process.env,
    XDG_CACHE_HOME: join(folder, 'cache'),
    FORCE_COLOR: '',
    ...(signalWhen && { SIGNAL_WHEN: JSON.stringify(signalWhen) }),
  };
  return ended(spawn(process.execPath, [...hook, main, ...argv], { env, cwd: folder, detached }));
}
