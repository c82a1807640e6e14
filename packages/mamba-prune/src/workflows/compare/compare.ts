// Dense, scratch, one-shot, Refill and RSST at equal size and equal training.
import { programWords } from '../../called-as.js';
import { shellCommand } from '../../shell.js';
import { StoppedAtStartError } from '../../training/errors.js';
import { carryOut } from './carry-out.js';
import { CompareFolder } from './folder.js';
import { writeResults } from './report.js';
import {
  type CompareControl,
  type CompareHooks,
  type CompareRequest,
  checkRequest,
  over,
  prepare,
} from './request.js';
import { type CompareResults, readResults } from './results.js';
import { checkOnly } from './select-runs.js';
import { type CompareSettings, planRuns, todaysComparison } from './settings.js';
import { tunedRates } from './tuning-file.js';

export type { CompareControl, CompareHooks, ComparePlan, CompareRequest } from './request.js';

export interface Comparison {
  /** False if the signal stopped it: the same call goes on. */
  readonly finished: boolean;
  readonly settings: CompareSettings;
  readonly results: CompareResults;
  /**
   * Absolute path of the folder, with results.md and results.json; with accuracy-macs.svg and .png where
   * `@mamba-prune/report` is installed, which draws them.
   */
  readonly path: string;
}

/**
 * Trains a dense model for every seed, unless it is given, and from it each method at each rate with the same number of
 * further epochs, each in a process of its own. Runs that are done are kept; a comparison that was
 * stopped, or killed, goes on where it was when it is called again. A run is done also where its folder was brought from
 * another machine, with config.json, metrics.jsonl and pruning.json alone.
 *
 * Learning rates that `tuneRates` chose in the same folder are taken where none are asked for.
 *
 * @throws UsageError, DataError, RunFolderError; Error if a run failed, naming it; StoppedAtStartError if the signal came
 *   before anything was done in place of another comparison, which is there again
 */
export async function compare(
  given: CompareRequest,
  control: CompareControl,
  hooks: CompareHooks = {},
): Promise<Comparison> {
  checkRequest(given, control);
  const request = todaysComparison(given);
  const { settings: asked, division } = await prepare(request, control);
  const isBegun = CompareFolder.settingsOf(control.out, control) !== undefined;
  const lrOf = isBegun ? asked.lrOf : over(tunedRates(control.out, asked), request.lrOf);
  const { args = [], overwrite } = control;
  const wanted = lrOf ? { ...asked, lrOf } : asked;
  checkOnly(planRuns(wanted, ''), control.only);
  const folder = CompareFolder.open(control.out, wanted, { args, overwrite });
  try {
    const { settings, path } = folder;
    const runs = planRuns(settings, path);
    const command = shellCommand([...programWords(), ...args]);
    const written = async (chart: boolean) => {
      const results = readResults(settings, runs, path);
      const note = await writeResults(folder, results, { chart, command });
      if (note !== undefined) hooks.onNote?.(note);
      return results;
    };
    const finished = await carryOut(folder, runs, {
      control,
      division,
      hooks,
      onRunEnd: () => written(false),
    });
    if (!finished && folder.bringBackReplaced()) throw new StoppedAtStartError(path);
    return { finished, settings, results: await written(finished), path };
  } finally {
    folder.release();
  }
}
