// Runs the C++ compiler.
import { execFileSync, spawn } from 'node:child_process';

// CXX may hold words, such as `ccache g++`.
export const [compiler, ...compilerPrefix] = (process.env.CXX?.trim() || 'g++').split(/\s+/);

/** First line of the compiler's version, undefined when it does not run. */
export function compilerVersion() {
  try {
    return execFileSync(compiler, [...compilerPrefix, '--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).split('\n')[0];
  } catch {
    return undefined;
  }
}

/**
 * Runs one compiler command; rejects with its output.
 * @param verbose - whether the command is shown
 */
export function compile(args, verbose) {
  const words = [...compilerPrefix, ...args];
  if (verbose) console.error(compiler, words.join(' '));
  return new Promise((resolve, reject) => {
    const child = spawn(compiler, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.on('data', (text) => (output += text));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(output || `${compiler} ended with ${code}`)),
    );
  });
}

export async function inParallel(jobs, limit) {
  const queue = [...jobs];
  await Promise.all(
    Array.from({ length: limit }, async () => {
      for (let job = queue.shift(); job; job = queue.shift()) await job();
    }),
  );
}

/** NCCL's headers may be those of another version than libtorch's; the rest works without them. */
export async function compileUnit({ flags, nccl }, { name, level }, source, target, verbose) {
  const rest = [level, '-c', source, '-o', target];
  if (name !== 'bindings' || nccl.length === 0) return compile([...flags, ...rest], verbose);
  try {
    return await compile([...flags, ...nccl, ...rest], verbose);
  } catch (error) {
    const output = await compile([...flags, ...rest], verbose);
    const reason = error.message.split('\n').find((line) => line.includes('error')) ?? '';
    return `${output}Built without NCCL, so that several workers train on CPUs only: ${reason}`;
  }
}

/** A compiler's output goes on for pages; what is wrong stands in few of its lines. */
export function firstErrors(output) {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const errors = lines.filter((line) => /error|cannot find|undefined reference/i.test(line));
  return (errors.length > 0 ? errors : lines).slice(0, 5).join('\n');
}
