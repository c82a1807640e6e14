// What stands of a run that is about to be made, for commands that make several.
import { existsSync } from 'node:fs';
import { stableJson } from '../training/options.js';
import { RunFolder } from '../training/run-folder.js';
import { todaysSettings } from './prune/earlier-names.js';
import type { RunControl } from './settings.js';

/**
 * `new`: nothing there; `finished`: the same run is done and is used again; `unfinished`: it is gone
 * on with; `replaced`: a run with other settings, or a fresh one was asked for.
 */
export type RunState = 'new' | 'finished' | 'unfinished' | 'replaced';

/** @throws RunFolderError if the folder's config.json is damaged */
export function runState(path: string, settings: object, fresh = false): RunState {
  if (!existsSync(path) || !RunFolder.isRun(path)) return 'new';
  if (fresh) return 'replaced';
  const { config, modelPath } = RunFolder.open(path);
  if (stableJson(todaysSettings(config['settings'])) !== stableJson(settings)) return 'replaced';
  return existsSync(modelPath) ? 'finished' : 'unfinished';
}

/** How trainRun and pruneRun are told of it. */
export function carryOn(
  out: string,
  state: RunState,
): Pick<RunControl, 'out' | 'resume' | 'overwrite'> {
  const goOn = state === 'finished' || state === 'unfinished';
  return { out, resume: goOn, overwrite: state === 'replaced' };
}
