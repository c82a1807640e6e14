// Two machines with a cable between them, for tests: network namespaces of this host, which need no rights where users
// may make namespaces. Nothing outlives the processes that hold them.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { endsWithTests } from './children.js';

/** One end of the cable. */
export class Machine {
  readonly address: string;
  readonly #holder: ChildProcess;

  constructor(holder: ChildProcess, address: string) {
    this.#holder = holder;
    this.address = address;
  }

  /** A command line as this machine runs it; files, users and processes are those of the host. */
  command(words: readonly string[]): readonly string[] {
    const pid = String(this.#holder.pid);
    return ['nsenter', '--target', pid, '--user', '--net', '--preserve-credentials', ...words];
  }

  run(...words: readonly string[]): void {
    const [program = '', ...args] = this.command(words);
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }
}

export class TwoMachines {
  readonly first: Machine;
  readonly second: Machine;

  private constructor(first: Machine, second: Machine) {
    this.first = first;
    this.second = second;
  }

  /** Why there can be none here; undefined if there can. */
  static problem(): string | undefined {
    const words = ['--user', '--map-root-user', '--net', 'ip', 'link', 'set', 'lo', 'up'];
    const { error, status, stderr } = spawnSync('unshare', words, { encoding: 'utf8' });
    if (error) return `unshare does not run (${error.message})`;
    return status === 0 ? undefined : `no network namespaces: ${stderr.trim()}`;
  }

  static async connect(): Promise<TwoMachines> {
    // `cat` ends with this process, whatever ends that.
    const one = await holder(spawn('unshare', ['--user', '--map-root-user', '--net', 'cat']));
    const first = new Machine(one, '10.83.0.1');
    const [program = '', ...inner] = first.command(['unshare', '--net', 'cat']);
    const two = await holder(spawn(program, inner), one);
    const second = new Machine(two, '10.83.0.2');
    first.run(
      'ip',
      'link',
      'add',
      'cable',
      'type',
      'veth',
      'peer',
      'cable',
      'netns',
      String(two.pid),
    );
    for (const machine of [first, second]) {
      machine.run('ip', 'address', 'add', `${machine.address}/24`, 'dev', 'cable');
      machine.run('ip', 'link', 'set', 'lo', 'up');
      machine.run('ip', 'link', 'set', 'cable', 'up');
    }
    return new TwoMachines(first, second);
  }

  /** From now on nothing that one sends comes to the other, and neither is told. */
  cut(): void {
    this.first.run('ip', 'link', 'set', 'cable', 'down');
  }

  mend(): void {
    this.first.run('ip', 'link', 'set', 'cable', 'up');
  }
}

/** Waits until the process is in a network of its own, neither this one's nor `other`'s. */
async function holder(child: ChildProcess, other?: ChildProcess): Promise<ChildProcess> {
  endsWithTests(child);
  await once(child, 'spawn');
  const network = (pid: number | undefined) => readlinkSync(`/proc/${pid ?? 'self'}/ns/net`);
  const taken = [network(undefined), ...(other ? [network(other.pid)] : [])];
  while (taken.includes(network(child.pid))) {
    if (child.exitCode !== null)
      throw new Error(`no network namespace: ended with ${child.exitCode}`);
    await pause(20);
  }
  return child;
}
