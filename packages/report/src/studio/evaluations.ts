// Test images shown to all finished models, when a page asks for it: it keeps this machine busy for a while.
import { usualImages } from 'mamba-prune/internal';
import { evaluateRuns, isAboutData } from '../images/evaluate-runs.js';
import type { ImageSource } from '../images/open-images.js';
import type { EvaluationData } from '../page-data/evaluation.js';
import type { RunData } from '../page-data/run.js';

export interface StudioEvaluation {
  readonly evaluation: EvaluationData | undefined;
  /** Why there is none. */
  readonly notes: readonly string[];
}

export class Evaluations {
  /** Of the models that `#key` names. */
  #last: Promise<StudioEvaluation> | undefined;
  #key = '';
  readonly #source: ImageSource;

  constructor(source: ImageSource) {
    this.#source = source;
  }

  /** The same models give the same answer, also to a page that asks while another one waits. */
  of(runs: readonly RunData[]): Promise<StudioEvaluation> {
    const finished = runs.filter(({ state }) => state === 'finished');
    const key = JSON.stringify(finished.map(({ id, created, size }) => [id, created, size]));
    if (this.#last === undefined || key !== this.#key) {
      this.#key = key;
      // One after the other: two at once would take twice as long.
      const before = this.#last ?? Promise.resolve();
      const asked = before.catch(() => undefined).then(() => evaluate(finished, this.#source));
      this.#last = asked;
      // What failed is tried again when a page asks again: memory that did not suffice may do by then.
      asked.catch(() => {
        if (this.#last === asked) this.#last = undefined;
      });
    }
    return this.#last;
  }
}

async function evaluate(runs: readonly RunData[], source: ImageSource): Promise<StudioEvaluation> {
  try {
    const notes: string[] = [];
    const onLeftOut = (note: string): void => {
      notes.push(note);
    };
    const options = { ...source, images: usualImages, device: 'cpu', onLeftOut };
    return { evaluation: await evaluateRuns(runs, options), notes };
  } catch (error) {
    if (!isAboutData(error)) throw error;
    return { evaluation: undefined, notes: [error.message] };
  }
}
