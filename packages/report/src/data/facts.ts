// What a run was made with, in words; names are the options of the command line.
import type { RunConfig } from 'mamba-prune/training';
import { shellCommand } from 'mamba-prune/internal';
import type { Fact, RepeatCommand } from '../page-data/run.js';

/** Left out of the page: said elsewhere, or of no use to a reader. */
const hidden = new Set(['model', 'dataset', 'recipe', 'rates', 'method', 'data', 'arch']);

/** Versions, machine, and every option that was set. */
export function factsOf(config: RunConfig): Fact[] {
  const { versions, machine, train, seed } = config;
  const settings = (config['settings'] ?? {}) as Readonly<Record<string, unknown>>;
  const chosen = Object.entries(settings).filter(([name]) => !hidden.has(name));
  const facts: [string, unknown][] = [
    ['seed', seed],
    ...chosen,
    ...Object.entries(train ?? {}).filter(([name]) => name !== 'seed'),
    ['mamba-prune', versions.mambaPrune],
    ['libtorch', versions.libtorch],
    ['node', versions.node],
    ['cpu', machine.cpu],
    ['threads', machine.threads],
    ['system', machine.system],
  ];
  return facts.flatMap(([name, value]) => flatten(name, value));
}

/** One fact for each value inside; what is off is left out. */
function flatten(name: string, value: unknown): Fact[] {
  if (value === null || value === undefined || value === false) return [];
  if (Array.isArray(value)) return [{ name, value: value.map(String).join(', ') }];
  if (typeof value === 'object') {
    return Object.entries(value).flatMap(([inner, v]) => flatten(`${name}.${inner}`, v));
  }
  return [{ name, value: typeof value === 'string' ? value : JSON.stringify(value) }];
}

/** @param args - as typed, without node and script */
export function repeatCommand(args: readonly string[], cwd: string): RepeatCommand | undefined {
  return args.length === 0 ? undefined : { cwd, line: shellCommand(['mamba-prune', ...args]) };
}

/** @param folder - absolute, so that it does not matter where it is typed */
export const studioCommand = (folder: string): RepeatCommand => ({
  cwd: '',
  line: shellCommand(['mamba-prune', 'studio', folder]),
});
