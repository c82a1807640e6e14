// The page's side of the worker: asks, and waits for the answer.
import type { Models } from './models.js';
import type { Answer, Backend, ImageInput, Request, RunResult } from './protocol.js';

export class Engine {
  #loaded: string | undefined;
  #last: Promise<unknown> = Promise.resolve();

  readonly #models: Models;
  readonly #worker: Worker;

  private constructor(models: Models, worker: Worker) {
    this.#models = models;
    this.#worker = worker;
  }

  static async start(models: Models): Promise<Engine> {
    return new Engine(models, await models.startWorker());
  }

  /** Ends the worker; what was asked gets no answer. */
  stop(): void {
    this.#worker.terminate();
  }

  /**
   * Classifies an image with every model, and times them.
   * @param images - one per run, in the form that its model takes
   * @throws Error with the runtime's message
   */
  run(
    runs: readonly string[],
    backend: Backend,
    images: readonly ImageInput[],
  ): Promise<readonly RunResult[]> {
    const result = this.#last.then(async () => {
      await this.#load(runs, backend);
      const answer = await this.#ask({ type: 'run', images });
      return answer.type === 'result' ? answer.results : [];
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #load(runs: readonly string[], backend: Backend): Promise<void> {
    const key = JSON.stringify([backend, ...runs]);
    if (this.#loaded === key) return;
    this.#loaded = undefined;
    const models = await Promise.all(runs.map((run) => this.#models.file(run, backend)));
    await this.#ask({ type: 'load', models, backend });
    this.#loaded = key;
  }

  #ask(request: Request): Promise<Answer> {
    return new Promise((done, fail) => {
      const end = new AbortController();
      const { signal } = end;
      this.#worker.addEventListener(
        'message',
        ({ data }: MessageEvent<Answer>) => {
          end.abort();
          if (data.type === 'error') fail(new Error(data.message));
          else done(data);
        },
        { signal },
      );
      this.#worker.addEventListener(
        'error',
        (event) => {
          end.abort();
          fail(new Error(event.message));
        },
        { signal },
      );
      this.#worker.postMessage(request);
    });
  }
}
