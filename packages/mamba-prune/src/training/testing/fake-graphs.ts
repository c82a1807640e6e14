import type { GraphBackend } from '@mamba-prune/libtorch';

/**
 * Graphs without a GPU: a replay does the work again. As on a GPU, nothing is done at the capture; unlike
 * there, what JavaScript decides in the work is decided anew.
 */
export class FakeGraphs implements Required<GraphBackend> {
  captures = 0;
  replays = 0;
  readonly #work = new Map<number, () => void>();

  readonly #failure: string | undefined;

  /** @param failure - of every capture */
  constructor(failure?: string) {
    this.#failure = failure;
  }

  graphCapture(_device: string, work: () => void): number {
    if (this.#failure !== undefined) throw new Error(this.#failure);
    const id = ++this.captures;
    this.#work.set(id, work);
    return id;
  }

  graphReplay(id: number): void {
    this.replays++;
    this.#work.get(id)?.();
  }

  graphDispose(id: number): void {
    this.#work.delete(id);
  }

  /** Graphs that were not disposed. */
  get live(): number {
    return this.#work.size;
  }
}
