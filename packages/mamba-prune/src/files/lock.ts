/**
 * A lock file, so that two processes do not write the same run or download the same file. Node has no flock(2): the file names the
 * process that holds it, and a lock whose process is gone counts for nothing.
 */
import { randomBytes } from 'node:crypto';
import { readTextFile } from '@mamba-prune/libtorch/files';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** Another process holds a lock, or one of another machine. */
export class LockedError extends Error {
  override readonly name = 'LockedError';

  /** Of the lock file. */
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

interface Holder {
  pid: number;
  host: string;
  /** When the process began, in clock ticks since the machine did; tells a reused id. Linux only. */
  started: string | null;
  since: string;
}

export class FileLock {
  #held = true;

  readonly #content: string;

  readonly path: string;

  private constructor(path: string, content: string) {
    this.path = path;
    this.#content = content;
  }

  /**
   * @param path - the lock file
   * @param what - what is locked, for the message
   * @throws LockedError if a living process holds it, or one of another machine
   */
  static acquire(path: string, what: string): FileLock {
    const holder: Holder = {
      pid: process.pid,
      host: hostname(),
      started: startOf(process.pid),
      since: new Date().toISOString(),
    };
    const content = `${JSON.stringify(holder)}\n`;
    // A link to a finished file appears with its content, so nobody reads half a lock.
    const own = `${path}.${process.pid}-${randomBytes(6).toString('hex')}`;
    writeFileSync(own, content, { flag: 'wx' });
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          linkSync(own, path);
          return new FileLock(path, content);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
        const found = read(path);
        if (found === undefined) continue; // released meanwhile
        const refusal = livingHolder(found, path, what);
        if (refusal !== undefined || attempt > 20) {
          throw new LockedError(path, refusal ?? `${what}: the lock ${path} cannot be taken.`);
        }
        removeStale(path, found, own);
      }
    } finally {
      rmSync(own, { force: true });
    }
  }

  /** Whether a living process holds a lock, or one of another machine does. */
  static isHeld(path: string): boolean {
    const content = read(path);
    return content !== undefined && livingHolder(content, path, path) !== undefined;
  }

  /** Gives the lock back; a second call does nothing. */
  release(): void {
    if (!this.#held) return;
    this.#held = false;
    // Somebody may have removed the file by hand and begun: their lock stays.
    if (read(this.path) === this.#content) rmSync(this.path, { force: true });
  }
}

function read(path: string): string | undefined {
  try {
    return readTextFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Why the lock holds, or undefined if its process is gone. */
function livingHolder(content: string, path: string, what: string): string | undefined {
  let holder: Partial<Holder>;
  try {
    holder = JSON.parse(content) as Partial<Holder>;
  } catch {
    return undefined; // No lock of ours is ever half written.
  }
  const { pid = 0, host = '?', started = null, since = '?' } = holder;
  if (host !== hostname()) {
    return (
      `${what}: in use by process ${pid} on the machine ${host} since ${since}. ` +
      `If that process is gone, delete ${path}.`
    );
  }
  if (!isAlive(pid)) return undefined;
  const now = startOf(pid);
  if (now !== null && started !== null && now !== started) return undefined; // the id was reused
  const who = pid === process.pid ? 'this process itself' : `process ${pid}`;
  return `${what}: in use by ${who} since ${since}. Wait for it, stop it, or choose another folder.`;
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0); // asks whether the process exists
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may contain anything; what follows it has fixed places (proc(5): 22).
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

/**
 * Takes a dead process's lock away. Two processes may get here at once, the second when the first
 * has its own lock in place already: so the file is moved aside and looked at again.
 */
function removeStale(path: string, stale: string, own: string): void {
  const aside = `${own}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    if (read(aside) !== stale) linkSync(aside, path); // somebody's living lock: put it back
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}
