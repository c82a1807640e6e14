// What prune and imp show while they work; all on stderr.
import type { PruneHooks, PrunePhase } from '../workflows/prune/hooks.js';
import type { PruningRecord, RoundRecord } from '../workflows/prune/record.js';
import type { Context } from './context.js';
import { type FlagNames, pruneFlags, warningsOf } from './pruning-remarks.js';
import { count, percent, plural } from '../format.js';
import { columnsOf } from './terminal/io.js';
import { wrapText } from './terminal/text.js';
import { TrainingProgress } from './training-progress.js';

/** Bars for what takes long, and lines for what each round did. */
export function pruningHooks(context: Context, flags: FlagNames = pruneFlags): PruneHooks {
  const { progress } = context;
  const { bold, dim } = progress.colours;
  let evaluated = '';
  let round = 0;
  /** A training whose first step is still to come. */
  let coming: PrunePhase | undefined;
  const begin = (next: number, rounds: number): void => {
    if (next === round || rounds === 1) return;
    round = next;
    progress.line(bold(`Round ${next} of ${rounds}`));
  };
  return {
    onEvaluate: (what, done, total) => {
      const label = passLabel(what);
      if (label !== evaluated || !progress.busy) progress.begin(label, total, 'batches');
      evaluated = label;
      progress.update(done);
      if (done === total) progress.end();
    },
    onScore: begin,
    onLatency: () => {
      progress.line(dim('Measuring latencies of some widths, for the budget'));
    },
    onPhase: (phase) => {
      progress.end();
      begin(phase.round, phase.rounds);
      coming = phase;
      const label = phase.kind === 'regularize' ? 'regularise' : 'fine-tune';
      const hooks = new TrainingProgress(context, label).hooks();
      return {
        ...hooks,
        // Of a run that goes on, the training may have been done before.
        onStep: (info) => {
          if (coming === phase) {
            coming = undefined;
            progress.line(dim(`  ${phaseTitle(phase)}`));
          }
          hooks.onStep?.(info);
        },
      };
    },
    onRound: () => {
      if (coming && coming.epochs > 0)
        progress.line(dim('  trained already, nothing is left to do'));
      coming = undefined;
    },
    onCut: (cut, record) => {
      progress.end();
      begin(cut.round, record.plannedRounds);
      progress.line(wrapText(cutLine(cut, record), columnsOf(context.io.stderr)));
      for (const warning of warningsOf(record, flags)) context.note(warning);
    },
  };
}

/** What a pass over images is for: `accuracy before`. */
export const passLabel = (what: string): string =>
  ['batch normalisation', 'scores', 'compensation'].includes(what) ? what : `accuracy ${what}`;

function phaseTitle({ kind, epochs }: PrunePhase): string {
  const what = kind === 'regularize' ? 'regularised training' : 'training what is left';
  return `${what}, ${plural(epochs, 'epoch')}`;
}

/**
 * `cut to 1.23 M parameters (12 units came back), accuracy 88.12% -> 84.90%, compensated 86.40%`; for a budget with the
 * rates that it was solved to
 */
function cutLine(
  { parameters, accuracy, returned, rates, compensation }: RoundRecord,
  { costBudget }: PruningRecord,
): string {
  const { before, afterCut } = accuracy;
  const units = Object.values(returned ?? {}).reduce((sum, list) => sum + list.length, 0);
  const back = units === 0 ? '' : ` (${plural(units, 'unit')} came back)`;
  const [first, then] = compensation
    ? [compensation.accuracyBefore, `, compensated ${percent(afterCut)}`]
    : [afterCut, ''];
  const cost = afterCut === null ? '' : `, accuracy ${percent(before)} -> ${percent(first)}${then}`;
  const solved = costBudget
    ? ` at ${Object.entries(rates)
        .map(([kind, rate]) => `${kind} ${percent(rate, 1)}`)
        .join(', ')}`
    : '';
  return `cut to ${count(parameters)} parameters${solved}${back}${cost}`;
}
