// Numbers in the environment's variables, as launchers set them.
import { DistributedError } from './errors.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * @returns undefined if it is not set
 * @throws DistributedError naming the variable, for anything but an integer from `least` to `most`
 */
export function integer(
  env: Environment,
  name: string,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most) return value;
  const end =
    most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new DistributedError(`workers: ${name}: got "${text}", expected an integer ${end}.`);
}
