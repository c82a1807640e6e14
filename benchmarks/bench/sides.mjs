// Who is measured: ours, plain PyTorch and onnxruntime, each measurement in a process of its own.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const script = (path) => fileURLToPath(new URL(path, import.meta.url));
const usualPythons = ['/usr/bin/python3', 'python3'];

/** @returns the JSON of the last line that it prints */
function runScript(command, argv, { threads, timeoutMs }) {
  const output = execFileSync(command, argv, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, OMP_NUM_THREADS: threads, OPENBLAS_NUM_THREADS: threads },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
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

/** @returns `python`, or why there is none */
function pythonWithTorch(given) {
  const tried = given === undefined ? usualPythons : [given];
  for (const python of tried) {
    try {
      execFileSync(python, ['-c', 'import torch'], { stdio: 'ignore' });
      return { python };
    } catch {
      // The next one may have it.
    }
  }
  return {
    missing:
      `${tried.join(' and ')}: no Python there, or none with torch. The columns of plain PyTorch stay empty. ` +
      'Debian: apt-get install python3-torch; or give --python PATH.',
  };
}

function onnxruntimeMissing() {
  try {
    createRequire(import.meta.url).resolve('onnxruntime-node');
    return undefined;
  } catch {
    return 'onnxruntime-node is not installed. Its columns are left out. npm install brings it.';
  }
}

/**
 * @param settings - `threads` as text, the `python` asked for, a `folder` for exports, whether it is to be `quick`
 * @returns the sides in the order of the even rounds, each with what it measures, and `notes`: who is missing, and why
 */
export function sidesOf({ threads, python: given, folder, quick }) {
  const notes = [];
  const runsOf = (count) => (quick ? 1 : count);
  const common = ({ arch, batch, rate }, runs) => [
    ...['--arch', arch, '--batch', String(batch), '--rate', String(rate)],
    ...['--threads', threads, '--runs', String(runsOf(runs))],
  ];
  const node = (path, argv, timeoutMs) =>
    runScript(process.execPath, [script(path), ...argv], { threads, timeoutMs });
  const kind = ({ what }) => ['--what', what];
  const size = ({ imageSize }) => ['--image-size', String(imageSize)];
  const sides = [
    {
      name: 'ours',
      measures: () => true,
      run: (one, timeoutMs) =>
        node(
          '../measure.mjs',
          [...kind(one), ...common(one, one.runs.ours), ...size(one)],
          timeoutMs,
        ),
    },
  ];
  const { python, missing } = pythonWithTorch(given);
  if (missing !== undefined) notes.push(missing);
  else {
    sides.push({
      name: 'torch',
      measures: () => true,
      run: (one, timeoutMs) => {
        const argv = [
          script(`../peers/${one.peer}`),
          'time',
          ...kind(one),
          ...common(one, one.runs.peer),
        ];
        return runScript(python, argv, { threads, timeoutMs });
      },
    });
  }
  const without = onnxruntimeMissing();
  if (without !== undefined) notes.push(without);
  else {
    sides.push({
      name: 'onnx',
      measures: ({ what }) => what === 'infer',
      run: (one, timeoutMs) => {
        const argv = ['--folder', folder, ...common(one, one.runs.ours), ...size(one)];
        return node('onnx.mjs', argv, timeoutMs);
      },
    });
  }
  return { sides, notes };
}

/** @returns `flops` and `read` of the machine, as `machine-rates.mjs` prints them */
export function machineRates(bytes, { threads, timeoutMs }) {
  const argv = [script('machine-rates.mjs'), '--threads', threads, '--bytes', bytes.join(',')];
  return runScript(process.execPath, argv, { threads, timeoutMs });
}
