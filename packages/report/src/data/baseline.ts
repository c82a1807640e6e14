// Which dense model a pruned run is to be compared with: the one that was trained as long and alike.
// The page reads it too: no import of Node.js or of mamba-prune.
import type { RunData, TrainingData } from '../page-data/run.js';
import { dataName } from './data-name.js';

/** What a pruned run is compared with. */
export interface Baseline {
  /** Undefined where the report has none: then `sizeBefore` and `accuracyBefore` of the pruned run are all there is. */
  readonly run: RunData | undefined;
  /** Whether both had the same training: as many epochs with the same recipe after the same model. */
  readonly isEqual: boolean;
  /** Id of the model that both began with, if it is in the report. */
  readonly root: string | undefined;
  /** Of the training that the pruned run had after that model, over all its rounds; so far, while it runs. */
  readonly epochs: number;
  /** The pruned run went back to weights from before that model's end: `epochs` counts from the first one. */
  readonly isFromStart: boolean;
}

/**
 * @returns undefined for a run that is not pruned
 *
 * The dense model as it was before the pruning is the second choice: what was trained on after the cut has had more
 * epochs, so that a gain over it says nothing of the pruning.
 */
export function baselineOf(run: RunData, runs: readonly RunData[]): Baseline | undefined {
  const byId = new Map(runs.map((other) => [other.id, other]));
  const own = historyOf(run, byId);
  if (own.isDense) return undefined;
  const { training, root, key } = own;
  const epochs = run.state === 'finished' ? training.epochs : epochsSoFar(run, own);
  const shared = { root: root?.id, epochs, isFromStart: training.isFromStart };
  if (run.state === 'finished') {
    const equal = runs.filter((other) => {
      if (other.state !== 'finished' || other.accuracy === null) return false;
      if (!isOnSameData(other, run)) return false;
      const history = historyOf(other, byId);
      if (!history.isDense || history.key !== key) return false;
      return training.isFromStart
        ? other.id === root?.id && isSameTraining(training, other.training)
        : isSameTraining(training, history.training);
    });
    const best = equal.findLast(({ seed }) => seed === run.seed) ?? equal.at(-1);
    if (best) return { ...shared, run: best, isEqual: true };
  }
  return { ...shared, run: root, isEqual: false };
}

/** Or may be: what was only cut names no data. */
const isOnSameData = (a: RunData, b: RunData): boolean =>
  a.dataset === undefined || b.dataset === undefined || dataName(a) === dataName(b);

/** What a run went through since the first model that it goes back to. */
interface History {
  /** That model's run, if it is in the report and dense. */
  readonly root: RunData | undefined;
  /** The same for all runs that go back to the same model. */
  readonly key: string;
  /** Of all runs after the root. */
  readonly training: Training;
  readonly isDense: boolean;
}

/** Several recipes in a row are none that another run can have had. */
type Training = Omit<TrainingData, 'recipe'> & { readonly recipe: string | undefined };

const none: Training = {
  epochs: 0,
  warmupEpochs: 0,
  warmupShare: 0,
  recipe: '',
  isFromStart: false,
};

function historyOf(run: RunData, byId: ReadonlyMap<string, RunData>): History {
  let at = run;
  let training = none;
  let { isDense } = run;
  const seen = new Set<string>();
  // A file of config.json may say anything, a circle too.
  while (at.began !== undefined && !seen.has(at.id)) {
    seen.add(at.id);
    training = after(at.training, training);
    const before = at.began.run === undefined ? undefined : byId.get(at.began.run);
    if (!before) return { root: undefined, key: at.began.model, training, isDense };
    at = before;
    isDense &&= at.isDense;
  }
  return { root: at, key: at.id, training, isDense };
}

/** The training of a run, and what came after it. */
function after(first: TrainingData, then: Training): Training {
  // Whatever came before was undone.
  if (then.isFromStart || first.epochs === 0) return then;
  if (then.epochs === 0) return first;
  const isSame = sameRecipe(first, then);
  return {
    ...then,
    epochs: first.epochs + then.epochs,
    recipe: isSame ? then.recipe : undefined,
    isFromStart: first.isFromStart,
  };
}

const isSameTraining = (a: Training, b: Training): boolean =>
  a.epochs === b.epochs && (a.epochs === 0 || sameRecipe(a, b));

/** The warm-up may be as long, or as large a part: `compare` gives every training the same part. */
const sameRecipe = (a: Training, b: Training): boolean =>
  a.recipe !== undefined &&
  a.recipe === b.recipe &&
  (a.warmupEpochs === b.warmupEpochs || Math.abs(a.warmupShare - b.warmupShare) < 1e-6);

const epochsSoFar = (run: RunData, { training }: History): number =>
  training.epochs - run.training.epochs + run.epochs.length;
