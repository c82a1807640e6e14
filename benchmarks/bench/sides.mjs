// Who is measured: ours, plain PyTorch and onnxruntime, each measurement in a process of its own.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { findPython, measured } from '../processes.mjs';

const script = (path) => fileURLToPath(new URL(path, import.meta.url));
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
  const node = (who, path, argv, timeoutMs) =>
    measured(who, process.execPath, [script(path), ...argv], { threads, timeoutMs });
  const kind = ({ what }) => ['--what', what];
  const size = ({ imageSize }) => ['--image-size', String(imageSize)];
  const sides = [
    {
      name: 'ours',
      measures: () => true,
      run: (one, timeoutMs) =>
        node(
          'ours',
          '../measure.mjs',
          [...kind(one), ...common(one, one.runs.ours), ...size(one)],
          timeoutMs,
        ),
    },
  ];
  const { python, missing, remedy } = findPython(given);
  if (python === undefined) {
    notes.push(`${missing} The columns of plain PyTorch stay empty. ${remedy}`);
  } else {
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
        return measured('torch', python, argv, { threads, timeoutMs });
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
        return node('onnx', 'onnx.mjs', argv, timeoutMs);
      },
    });
  }
  return { sides, notes };
}

/** @returns `flops` and `read` of the machine, as `machine-rates.mjs` prints them */
export function machineRates(bytes, { threads, timeoutMs }) {
  const argv = [script('machine-rates.mjs'), '--threads', threads, '--bytes', bytes.join(',')];
  return measured('the process', process.execPath, argv, { threads, timeoutMs });
}
