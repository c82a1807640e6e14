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

function isStale(path) {
  try {
    return Date.now() - statSync(path).mtimeMs > staleAfterMs;
  } catch {
    return false; // released this moment
  }
}

/**
 * Removes a lock that its holder left. Several processes may find it at once: only one removes it, and looks again
 * before, lest it remove the new lock of one that was quicker.
 */
function removeStale(path) {
  const guard = `${path}.stale`;
  if (!take(guard)) {
    if (isStale(guard)) rmSync(guard, { force: true });
    return;
  }
  try {
    if (isStale(path)) rmSync(path, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

/**
 * Runs `job` while holding the lock file `path`.
 *
 * @param {string} path
 * @param {string} waiting told on stderr, once, when another process holds the lock
 * @param {() => Promise<void>} job
 */
export async function withBuildLock(path, waiting, job) {
  let waited = false;
  while (!take(path)) {
    if (isStale(path)) {
      removeStale(path);
    } else if (!waited) {
      console.error(waiting);
      waited = true;
    }
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
    await job();
  } finally {
    clearInterval(touch);
    process.off('exit', release);
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    release();
  }
}
