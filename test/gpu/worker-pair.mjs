// Starts two workers, each a process of its own.
import { fork } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const script = join(dirname(fileURLToPath(import.meta.url)), 'worker.mjs');
/** Starting and compiling kernels included; what takes longer hangs. */
const LIMIT_MS = 75_000;
const children = new Set();

export function killAll() {
  for (const child of children) child.kill('SIGKILL');
}

/**
 * @returns the two workers: the process, `outcome`, a promise of what it printed, and `told(name)`, a promise of
 *   a message with that name
 */
export async function startPair(plan) {
  const zero = start(plan, 0, 0);
  const port = await zero.told('port');
  return [zero, start(plan, 1, port)];
}

function start(plan, rank, port) {
  const child = fork(script, [JSON.stringify(plan)], {
    env: {
      NCCL_DEBUG: 'WARN',
      ...process.env,
      RANK: String(rank),
      WORLD_SIZE: '2',
      LOCAL_RANK: String(rank),
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: String(port),
    },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  children.add(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const told = (name) =>
    new Promise((resolve, reject) => {
      child.on('message', (message) => {
        if (name in message) resolve(message[name]);
      });
      child.on('close', () =>
        reject(new Error(`rank ${rank} ended before it told its ${name}:\n${output}`)),
      );
    });
  const outcome = new Promise((resolve, reject) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      children.delete(child);
      // NCCL may print there too.
      const line = output.split('\n').findLast((text) => text.startsWith('{'));
      if (line !== undefined) resolve(JSON.parse(line));
      else
        reject(new Error(`rank ${rank} ended (${code ?? signal}) without an outcome:\n${output}`));
    });
  });
  // A worker that is killed on purpose has none.
  outcome.catch(() => undefined);
  return { child, told, outcome };
}
