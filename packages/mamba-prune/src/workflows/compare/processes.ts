import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { pluginEnvironment } from '../../plugins.js';
import { stopSignals } from '../../training/signals.js';
import type { FromChild, ToChild } from './child.js';
import type { RunOrder } from './perform.js';

export interface RunningRun {
  /** False if it was stopped. Rejects with what went wrong. */
  readonly ended: Promise<boolean>;
  /** Asks it to stop after the step in progress, with a checkpoint. */
  readonly stop: () => void;
}

export interface RunListeners {
  readonly onProgress: (epochs: number) => void;
  readonly onNote: (note: string) => void;
}

export type StartRun = (order: RunOrder, listeners: RunListeners) => RunningRun;

/** Carries out a run in a process of its own. */
export const startProcess: StartRun = (order, { onProgress, onNote }) => {
  const child = fork(fileURLToPath(new URL('child.js', import.meta.url)), {
    // A child's flags are not its parent's: an --inspect port can be listened to once.
    execArgv: [],
    env: { ...process.env, ...pluginEnvironment() },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const send = (message: ToChild): void => {
    // It may be gone already; then its end says why.
    if (child.connected) child.send(message, () => undefined);
  };
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-2000);
  });
  const ended = new Promise<boolean>((done, failed) => {
    let outcome: Extract<FromChild, { type: 'end' | 'error' }> | undefined;
    child.on('message', (message: FromChild) => {
      if (message.type === 'progress') onProgress(message.epochs);
      else if (message.type === 'note') onNote(message.text);
      else outcome = message;
    });
    child.on('error', failed);
    child.on('close', (code, signal) => {
      if (outcome?.type === 'end') done(outcome.finished);
      // Ctrl-C reaches the whole group, also a child that has only just begun and cannot stop in order yet.
      else if (!outcome && stopSignals.some((name) => name === signal)) done(false);
      else failed(new Error(outcome?.message ?? unexpected(code, signal, stderr)));
    });
  });
  send({ type: 'run', order });
  return {
    ended,
    stop: () => {
      send({ type: 'stop' });
    },
  };
};

function unexpected(code: number | null, signal: string | null, stderr: string): string {
  const last = stderr.trim().split('\n').slice(-3).join('\n');
  const how = signal === null ? `with status ${code ?? '?'}` : `by ${signal}`;
  const hint = signal === 'SIGKILL' ? ' The memory may be too small: try fewer `jobs`.' : '';
  return `its process was ended ${how}.${hint}${last === '' ? '' : `\n${last}`}`;
}
