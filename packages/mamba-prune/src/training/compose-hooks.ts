import { checkHooks } from './check-hooks.js';
import type { HookState, TrainHooks } from './hooks.js';

/**
 * Several sets of hooks as one: calls go to each in turn, loss terms and states are joined, and the entries of
 * `epochMetrics` merged (the later wins where two have one name). Of `taskLoss`, `distillation` and
 * `saveModel`, of which a training has one each, the last that is given counts.
 */
export function composeHooks(...parts: readonly (TrainHooks | undefined)[]): TrainHooks {
  const given = parts.filter((part) => part !== undefined);
  given.forEach(checkHooks);
  const onEpoch = given.flatMap((part) => part.onEpoch ?? []);
  const epochMetrics = given.flatMap((part) => part.epochMetrics ?? []);
  return {
    onStep: inTurnAwaited(given.flatMap((part) => part.onStep ?? [])),
    onEpoch: async (metrics) => {
      for (const hook of onEpoch) await hook(metrics);
    },
    onEvaluate: inTurn(given.map((part) => part.onEvaluate)),
    onCheckpoint: inTurn(given.map((part) => part.onCheckpoint)),
    onNote: inTurn(given.map((part) => part.onNote)),
    afterStep: inTurn(given.map((part) => part.afterStep)),
    extraLosses: given.flatMap((part) => part.extraLosses ?? []),
    epochMetrics: (...args) =>
      Object.assign({}, ...epochMetrics.map((hook) => hook(...args))) as Record<string, unknown>,
    taskLoss: last(given.map((part) => part.taskLoss)),
    state: joined(given.flatMap((part) => part.state ?? [])),
    distillation: last(given.map((part) => part.distillation)),
    replayable: given.every((part) => part.replayable ?? !worksInSteps(part)),
    saveModel: last(given.map((part) => part.saveModel)),
  };
}

const worksInSteps = ({ taskLoss, extraLosses = [], afterStep }: TrainHooks): boolean =>
  taskLoss !== undefined || afterStep !== undefined || extraLosses.length > 0;

/** Calls each; undefined where there is none, for some hooks cost something by being there. */
function inTurn<A extends unknown[]>(
  hooks: readonly (((...args: A) => void) | undefined)[],
): ((...args: A) => void) | undefined {
  const given = hooks.filter((hook) => hook !== undefined);
  if (given.length === 0) return undefined;
  return (...args) => {
    for (const hook of given) hook(...args);
  };
}

/** As `inTurn`, where a hook may give a promise: the next is called when it has come true. */
function inTurnAwaited<A extends unknown[]>(
  hooks: readonly ((...args: A) => unknown)[],
): ((...args: A) => unknown) | undefined {
  if (hooks.length === 0) return undefined;
  return (...args) =>
    hooks.reduce<unknown>(
      (before, hook) =>
        before instanceof Promise ? before.then(() => hook(...args)) : hook(...args),
      undefined,
    );
}

/** The names of all must differ. */
function joined(states: readonly HookState[]): HookState | undefined {
  if (states.length === 0) return undefined;
  return {
    // Asked for when the training begins: they are where the model is by then.
    get tensors() {
      return new Map(states.flatMap(({ tensors }) => [...tensors]));
    },
    begin: () => {
      for (const state of states) state.begin();
    },
  };
}

const last = <T>(values: readonly (T | undefined)[]): T | undefined =>
  values.findLast((value) => value !== undefined);
