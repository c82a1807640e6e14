import cliProgress from 'cli-progress';
import { clock, digits, grouped } from './format.js';
import { type CliIo, type Colours, type TextStream, coloursOf, columnsOf } from './io.js';
import { printableLine } from './printable.js';
import { visible } from './text.js';

export interface ProgressState {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  /** Of `done`'s unit, per second; worked out from the time unless given. */
  readonly rate?: number | undefined;
  /** `img` in `1,234 img/s`. */
  readonly unit: string;
  /** Where the bar began. */
  readonly from: number;
  /** Seconds since then. */
  readonly seconds: number;
  /** What stands at the end, such as the loss. */
  readonly extra?: string | undefined;
}

/** One line, never longer than the width: label, bar, share, rate, time left, extra. */
export function renderProgress(state: ProgressState, width: number, colours: Colours): string {
  const { label, done, total, unit, from, seconds, extra } = state;
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const perSecond = seconds > 0 ? (done - from) / seconds : 0;
  const rate = state.rate ?? perSecond;
  const left = perSecond > 0 ? clock((total - done) / perSecond) : '-:--';
  const head = `  ${printableLine(label)}  `;
  const parts = [`${Math.floor(100 * share)}%`.padStart(4)];
  if (rate > 0) parts.push(`${rate >= 100 ? grouped(Math.round(rate)) : digits(rate)} ${unit}/s`);
  parts.push(`${left} left`);
  if (extra !== undefined) parts.push(printableLine(extra));
  const room = width - 1 - visible(head);
  while (parts.length > 1 && room - visible(parts.join('  ')) < 8) parts.pop();
  const tail = parts.join('  ');
  const size = Math.min(24, Math.max(4, room - visible(tail) - 2));
  const filled = Math.round(share * size);
  const line = colours.cyan('━'.repeat(filled)) + colours.dim('─'.repeat(size - filled));
  return `${head}${line}  ${tail}`;
}

/**
 * cli-progress cuts a line to the width and counts the characters of colours, so that it would cut off what
 * fits. `renderProgress` keeps to the width by itself.
 */
function unbounded(stream: TextStream): NodeJS.WritableStream {
  const target = stream.raw ?? stream;
  const write = (text: string): boolean => Boolean(target.write(text));
  return { isTTY: true, columns: Infinity, write } as unknown as NodeJS.WritableStream;
}

/** What may change from one update to the next; what is left out stays. */
export interface Extras {
  readonly label?: string | undefined;
  readonly rate?: number | undefined;
  readonly extra?: string | undefined;
}

interface Task {
  readonly total: number;
  readonly unit: string;
  /** Where it began: more than 0 in resumed work. */
  readonly from: number;
  readonly start: number;
  done: number;
  extras: Extras;
}

/**
 * Shows how far long work is: a bar that redraws itself where stderr is a terminal, nothing but the
 * lines that matter elsewhere.
 */
export class Progress {
  readonly #io: CliIo;
  readonly #colours: Colours;
  readonly #live: boolean;
  #task: Task | undefined;
  #bar: cliProgress.SingleBar | undefined;

  constructor(io: CliIo) {
    this.#io = io;
    this.#colours = coloursOf(io.stderr, io.env);
    this.#live = io.stderr.isTTY === true && io.env['TERM'] !== 'dumb';
  }

  get colours(): Colours {
    return this.#colours;
  }

  /** Begins a bar, in place of one that is there. */
  begin(label: string, total: number, unit: string, from = 0): void {
    this.end();
    if (!this.#live) return;
    const start = performance.now();
    this.#task = { total, unit, from, start, done: from, extras: { label } };
    this.#draw();
  }

  get busy(): boolean {
    return this.#task !== undefined;
  }

  update(done: number, extras: Extras = {}): void {
    if (!this.#task) return;
    this.#task.done = done;
    this.#task.extras = { ...this.#task.extras, ...extras };
    this.#bar?.update(done);
  }

  /** Takes the bar away. */
  end(): void {
    this.#task = undefined;
    this.#clear();
  }

  /** A line above the bar. */
  line(text: string): void {
    this.#clear();
    this.#io.stderr.write(`${text}\n`);
    if (this.#task) this.#draw();
  }

  #clear(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #draw(): void {
    const bar = new cliProgress.SingleBar({
      stream: unbounded(this.#io.stderr),
      clearOnComplete: true,
      fps: 8,
      // Hidden cursors and switched-off wrapping would outlive a process that is killed; our lines
      // fit without.
      hideCursor: false,
      linewrap: true,
      // Ctrl-C is the command's business: it stops with a checkpoint.
      gracefulExit: false,
      format: () => this.#render(),
    });
    bar.start(this.#task?.total ?? 0, this.#task?.done ?? 0);
    this.#bar = bar;
  }

  #render(): string {
    if (!this.#task) return '';
    const { total, unit, from, start, done, extras } = this.#task;
    const seconds = (performance.now() - start) / 1000;
    const state: ProgressState = { label: '', done, total, unit, from, seconds };
    return renderProgress(
      { ...state, ...extras, label: extras.label ?? '' },
      columnsOf(this.#io.stderr),
      this.#colours,
    );
  }
}
