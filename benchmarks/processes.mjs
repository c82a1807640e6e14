// Measurements in processes of their own, and the Python in which those of PyTorch run.
import { execFileSync } from 'node:child_process';

/** The one with Debian's python3-torch comes first: another on PATH mostly lacks it. */
const usualPythons = ['/usr/bin/python3', 'python3'];

/**
 * @param who - for the error
 * @param given - `threads` for the libraries that read their number from the environment; `timeoutMs`, after which it is
 *   ended (default: never)
 * @returns the JSON of the last line that the process prints
 * @throws Error with what became of the process, in words; its `code` is ETIMEDOUT where the time was over
 */
export function measured(who, command, argv, { threads, timeoutMs } = {}) {
  const ofThreads = threads && { OMP_NUM_THREADS: threads, OPENBLAS_NUM_THREADS: threads };
  let output;
  try {
    output = execFileSync(command, argv, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...ofThreads },
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
  } catch (error) {
    throw Object.assign(new Error(`${who} ${reason(error)}`), { code: error.code });
  }
  return JSON.parse(output.trim().split('\n').at(-1));
}

/**
 * @param error - of a process that was run
 * @returns what became of it, in words
 */
export function reason(error) {
  if (error.code === 'ETIMEDOUT') return 'was ended, since the time was over';
  // Python ends with its error, and Node.js has it above the stack.
  const lines = String(error.stderr ?? '')
    .trim()
    .split('\n');
  const line = lines.find((text) => /^\w*Error\b/.test(text)) ?? lines.at(-1);
  return `failed: ${line || error.message}`;
}

/**
 * @param given - the value of --python
 * @returns `python`; or `missing`, why there is none, and `remedy`
 */
export function findPython(given) {
  const tried = given === undefined ? usualPythons : [given];
  const python = tried.find(hasTorch);
  if (python !== undefined) return { python };
  return {
    missing: `${tried.join(' and ')}: no Python there, or none with torch.`,
    remedy: 'Debian: apt-get install python3-torch; or give --python PATH.',
  };
}

/** As `findPython`, for what cannot do without. */
export function requirePython(given) {
  const { python, missing, remedy } = findPython(given);
  if (python === undefined) throw new Error(`${missing} ${remedy}`);
  return python;
}

function hasTorch(python) {
  try {
    execFileSync(python, ['-c', 'import torch'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
