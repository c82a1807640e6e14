// Measurements in processes of their own, and the Python in which those of PyTorch run.
import { execFileSync } from 'node:child_process';
import { basename } from 'node:path';

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
    const script = argv.find((text) => /\.(?:mjs|py)$/.test(text)) ?? '';
    throw Object.assign(new Error(`${who} ${reason(error, script)}`), { code: error.code });
  }
  return JSON.parse(output.trim().split('\n').at(-1));
}

/**
 * @param error - of a process that was run
 * @param script - the path of what it ran
 * @returns what became of it, in words
 */
export function reason(error, script = '') {
  if (error.code === 'ETIMEDOUT') return 'was ended, since the time was over';
  return `failed: ${errorLine(String(error.stderr ?? ''), script) ?? error.message}`;
}

/**
 * The line that says what was wrong: our scripts begin it with their name; Python ends with it, and Node.js has it above the stack.
 * @returns undefined where nothing was printed
 */
export function errorLine(stderr, script) {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  const own = `${basename(script, '.mjs')}: `;
  const said = lines.find((line) => script !== '' && line.startsWith(own));
  if (said !== undefined) return said.slice(own.length).replace(/\.$/, '');
  return lines.findLast((line) => /^\w*(?:\.\w+)*Error\b/.test(line)) ?? lines.at(-1);
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
