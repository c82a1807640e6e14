// One build at a time per folder, across processes and containers that share it.
import { closeSync, openSync, rmSync, statSync, utimesSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

// The holder touches the lock every 2 s. A lock this old belongs to a process that was killed: unlike a
// process id, that holds in another container too.
const staleAfterMs = 20_000;

function take(path) {
  try {
    closeSync(openSync(path, 'wx'));
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  }
}

function ageMs(path) {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0; // released this moment
  }
}

/**
 * Runs `job` while holding the lock file `path`.
 *
 * @param {string} path
 * @param {(waited: boolean) => Promise<void>} job told whether another process held the lock before
 */
export async function withBuildLock(path, job) {
  let waited = false;
  while (!take(path)) {
    if (ageMs(path) > staleAfterMs) {
      rmSync(path, { force: true });
      continue;
    }
    if (!waited) console.error('Waiting for another process that is building the addon');
    waited = true;
    await sleep(200);
  }
  const release = () => rmSync(path, { force: true });
  const touch = setInterval(() => {
    const now = new Date();
    try {
      utimesSync(path, now, now);
    } catch {
      // build/ was removed under us; the build itself will say so
    }
  }, 2_000);
  const stop = (signal) => {
    release();
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  };
  process.once('exit', release);
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    await job(waited);
  } finally {
    clearInterval(touch);
    process.off('exit', release);
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    release();
  }
}
