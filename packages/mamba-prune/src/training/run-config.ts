/** config.json of a run: everything needed to repeat it. */
import { readTextFile } from '@mamba-prune/libtorch/files';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type Environment, describeEnvironment } from './environment.js';
import { RunFolderError } from './errors.js';
import type { ResolvedTrainOptions } from './train-options.js';

const runKind = 'mamba-prune run';

/** What the caller knows of a run; versions, machine and time are added. Must be JSON. */
export interface RunDescription {
  /** Name of the command: 'train', 'prune', ... */
  readonly command: string;
  /** The command line as typed, without node and script. */
  readonly args: readonly string[];
  readonly seed: number;
  /** Name and facts of the data set, and where it was read from. */
  readonly dataset?: unknown;
  /** From which the model can be built again. */
  readonly model?: unknown;
  readonly train?: ResolvedTrainOptions;
  readonly [extra: string]: unknown;
}

/** The content of config.json. */
export interface RunConfig extends RunDescription, Environment {
  readonly kind: typeof runKind;
  readonly format: 1;
  /** ISO 8601. */
  readonly created: string;
  readonly cwd: string;
  /** One entry each time the run was resumed. */
  readonly resumed: readonly {
    readonly at: string;
    readonly step: number;
    readonly note?: string;
  }[];
}

const configSchema = z.looseObject({
  kind: z.literal(runKind),
  format: z.literal(1),
  command: z.string(),
  args: z.array(z.string()),
  seed: z.number(),
  created: z.string(),
  resumed: z.array(z.looseObject({ at: z.string(), step: z.number() })),
});

/** Of a run that begins now. */
export function newConfig(description: RunDescription): RunConfig {
  return {
    kind: runKind,
    format: 1,
    created: new Date().toISOString(),
    cwd: process.cwd(),
    ...describeEnvironment(),
    ...description,
    resumed: [],
  };
}

/** Whether a folder is that of a run, damaged or not. */
export function isRun(folder: string): boolean {
  return existsSync(configPathOf(folder)) && isRunConfig(folder);
}

export const configPathOf = (folder: string): string => join(folder, 'config.json');

/** What describes a run has a few kilobytes; a larger file is something else. */
const readConfigText = (path: string): string => readTextFile(path, { most: 64 * 1024 ** 2 });

function isRunConfig(folder: string): boolean {
  try {
    const config: unknown = JSON.parse(readConfigText(configPathOf(folder)));
    return (
      typeof config === 'object' && config !== null && 'kind' in config && config.kind === runKind
    );
  } catch {
    return false;
  }
}

/** @throws RunFolderError if it is no run, or config.json is damaged */
export function readConfig(folder: string): RunConfig {
  const path = configPathOf(folder);
  let json: unknown;
  try {
    json = JSON.parse(readConfigText(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isMissing = code === 'ENOENT' || code === 'ENOTDIR';
    throw new RunFolderError(
      folder,
      isMissing
        ? `${folder} ${existsSync(folder) ? 'is no run (it has no config.json)' : 'does not exist, expected a run'}. Give the folder of a run.`
        : `${path} cannot be read: ${message}`,
      { cause: error, isUsage: isMissing },
    );
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    throw new RunFolderError(
      folder,
      `${path} does not describe a run:\n${z.prettifyError(parsed.error)}`,
    );
  }
  return json as RunConfig;
}
