// Two machines with a cable between them, for tests: network namespaces of this host. They need no rights where users may make
// namespaces; root makes them without one for users, in which devices can be out of reach. Nothing outlives the processes that hold them.
// JavaScript, for the tests on a GPU are run by Node alone; the types are in two-machines.d.mts.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** Ways to a network of one's own: what `unshare` needs before `--net`, and `nsenter`. */
const ways = [
  ...(process.getuid?.() === 0 ? [{ unshare: [], nsenter: [] }] : []),
  {
    unshare: ['--user', '--map-root-user'],
    nsenter: ['--user', '--preserve-credentials'],
  },
];

const addCable = ['ip', 'link', 'add', 'cable', 'type', 'veth', 'peer'];

/** @returns why there is no way; undefined if there is one */
function problemOf({ unshare }) {
  const words = [...unshare, '--net', ...addCable, 'other'];
  const { error, status, stderr } = spawnSync('unshare', words, { encoding: 'utf8' });
  if (error) return `unshare does not run (${error.message})`;
  return status === 0 ? undefined : `no network namespaces: ${stderr.trim()}`;
}

/** One end of the cable. */
export class Machine {
  #holder;
  #way;

  constructor(holder, way, address) {
    this.#holder = holder;
    this.#way = way;
    this.address = address;
  }

  command(words) {
    const target = ['--target', String(this.#holder.pid)];
    return ['nsenter', ...target, ...this.#way.nsenter, '--net', ...words];
  }

  run(...words) {
    const [program = '', ...args] = this.command(words);
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  remove() {
    this.#holder.kill('SIGKILL');
  }
}

export class TwoMachines {
  constructor(first, second) {
    this.first = first;
    this.second = second;
  }

  static problem() {
    const problems = ways.map(problemOf);
    return problems.includes(undefined) ? undefined : problems.at(-1);
  }

  static async connect() {
    const way = ways.find((candidate) => problemOf(candidate) === undefined);
    if (way === undefined) throw new Error(TwoMachines.problem());
    // `cat` ends with this process, whatever ends that.
    const one = await holder(spawn('unshare', [...way.unshare, '--net', 'cat']));
    const first = new Machine(one, way, '10.83.0.1');
    const [program = '', ...inner] = first.command(['unshare', '--net', 'cat']);
    const two = await holder(spawn(program, inner), one);
    const second = new Machine(two, way, '10.83.0.2');
    first.run(...addCable, 'cable', 'netns', String(two.pid));
    for (const machine of [first, second]) {
      machine.run('ip', 'address', 'add', `${machine.address}/24`, 'dev', 'cable');
      machine.run('ip', 'link', 'set', 'lo', 'up');
      machine.run('ip', 'link', 'set', 'cable', 'up');
    }
    return new TwoMachines(first, second);
  }

  cut() {
    this.first.run('ip', 'link', 'set', 'cable', 'down');
  }

  mend() {
    this.first.run('ip', 'link', 'set', 'cable', 'up');
  }

  remove() {
    this.first.remove();
    this.second.remove();
  }
}

/** Waits until the process is in a network of its own, neither this one's nor `other`'s. */
async function holder(child, other) {
  await once(child, 'spawn');
  const network = (pid) => readlinkSync(`/proc/${pid ?? 'self'}/ns/net`);
  const taken = [network(undefined), ...(other ? [network(other.pid)] : [])];
  while (taken.includes(network(child.pid))) {
    if (child.exitCode !== null)
      throw new Error(`no network namespace: ended with ${child.exitCode}`);
    await pause(20);
  }
  return child;
}
