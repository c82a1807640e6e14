// One file of tests as a process of its own, with a limit of time.
import { spawn } from 'node:child_process';
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { threadStates } from './thread-states.mjs';

const reporter = fileURLToPath(new URL('results.mjs', import.meta.url));
/** For a process to end after its last test: the driver frees what it had on the GPU then. */
const graceMs = 5_000;
/** For the kernel to take away a process that was killed. A driver may hold it for longer; the next file does not wait for that. */
const burialMs = 20_000;
const lookMs = 100;

let running;

/** Ends the file that runs and the processes that it has started. */
export function endRunning() {
  if (running !== undefined) endGroup(running.pid);
}

function endGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // All of them have ended.
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * @param log - a file for what it prints, as it prints it
 * @returns the counts of tests, `problems` for which the file has failed, `notes` of what else was odd, and the milliseconds
 */
export async function runFile(file, { limitMs, log }) {
  const started = performance.now();
  const lines = `${log}.results`;
  rmSync(lines, { force: true });
  const output = openSync(log, 'w');
  const child = spawn(process.execPath, [...reporters(lines), file], {
    // A group of its own, so that workers end with it.
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  running = child;
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve({ error }));
    child.on('exit', (code, signal) => resolve({ code, signal }));
  });
  const [problems, notes] = [[], []];
  let end = await within(ended, limitMs, () => hasEnded(lines));
  const isDone = hasEnded(lines);
  if (end === undefined && isDone) end = await within(ended, graceMs);
  if (end === undefined) {
    const late = isDone
      ? `did not end within ${graceMs / 1e3} s after its last test`
      : `was not done within ${limitMs / 1e3} s`;
    (isDone ? notes : problems).push(`${late}; where its threads were is at the end of ${log}`);
    appendFileSync(log, `\n${late}:\n${threadStates(child.pid)}`);
    endGroup(child.pid);
    if ((await within(ended, burialMs)) === undefined)
      notes.push(`is still there ${burialMs / 1e3} s after SIGKILL (process ${child.pid})`);
  } else {
    endGroup(child.pid);
  }
  running = undefined;
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const line of resultsIn(lines)) {
    for (const key of Object.keys(counts)) if (key in line) counts[key]++;
    if (line.failed !== undefined) problems.push(`${line.failed}: ${firstLine(line.why)}`);
  }
  rmSync(lines, { force: true });
  if (end !== undefined) problems.push(...oddEnd(end, isDone || hasAny(counts), counts));
  return { ...counts, problems, notes, ms: performance.now() - started };
}

function reporters(lines) {
  return [
    ...['--test-reporter', reporter, '--test-reporter-destination', lines],
    ...['--test-reporter', 'spec', '--test-reporter-destination', 'stdout'],
  ];
}

/** @returns what `ended` gives, or undefined after so long or as soon as `isEnough` says so */
async function within(ended, ms, isEnough = () => false) {
  for (const until = performance.now() + ms; performance.now() < until && !isEnough();) {
    const end = await Promise.race([ended, pause(lookMs)]);
    if (end !== undefined) return end;
  }
  return undefined;
}

/** Whole lines alone: the last one may still be written. */
function resultsIn(lines) {
  if (!existsSync(lines)) return [];
  const text = readFileSync(lines, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

const hasEnded = (lines) => resultsIn(lines).some(({ end }) => end === true);
const hasAny = ({ passed, failed, skipped }) => passed + failed + skipped > 0;
const firstLine = (text) => String(text ?? 'no reason given').split('\n')[0];

/** What is wrong with the way in which a process ended by itself, beside its tests. */
function oddEnd({ error, code, signal }, hasTests, { failed }) {
  if (error !== undefined) return [`did not start: ${error.message}`];
  if (signal !== null) return [`was ended by ${signal}`];
  if (code !== 0 && failed === 0) return [`ended with status ${code}, though no test failed`];
  return hasTests ? [] : ['reported no test'];
}
