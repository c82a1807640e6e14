// Where the threads of processes are that do not end: what the kernel tells of them.
import { readFileSync, readdirSync } from 'node:fs';

const read = (path) => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    // It ended meanwhile, or this user may not look.
    return `? (${error.code})`;
  }
};

const list = (path) => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};

/** Processes of a group, by their numbers. */
const group = (leader) =>
  list('/proc').filter(
    // Behind the name, which may hold anything: state, parent, group.
    (name) =>
      /^\d+$/.test(name) &&
      read(`/proc/${name}/stat`)
        .replace(/^.*\) /s, '')
        .split(' ')[2] === `${leader}`,
  );

/** @returns a line for each thread of all processes of a group: name, state, system call, place in the kernel, signals */
export function threadStates(leader) {
  const lines = group(leader).flatMap((pid) => [
    `process ${pid}: ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').slice(0, 1000)}`,
    ...list(`/proc/${pid}/task`).map((tid) => `  ${thread(`/proc/${pid}/task/${tid}`, tid)}`),
  ]);
  return `${lines.length > 0 ? lines.join('\n') : 'no process of it is left'}\n`;
}

function thread(path, tid) {
  const status = new Map(
    read(`${path}/status`)
      .split('\n')
      .map((line) => line.split(/:\s*/, 2)),
  );
  const signals = ['SigPnd', 'ShdPnd', 'SigBlk'].map(
    (name) => `${name} ${status.get(name) ?? '?'}`,
  );
  const place = read(`${path}/stack`).replaceAll(/\n/g, ' < ');
  return [
    `${tid} ${status.get('Name') ?? '?'}: ${status.get('State') ?? '?'}`,
    `system call ${read(`${path}/syscall`)}`,
    `waits in ${read(`${path}/wchan`) || '0'}`,
    ...(place === '' || place.startsWith('?') ? [] : [`stack ${place}`]),
    ...signals,
  ].join('; ');
}
