import cliProgress from 'cli-progress';
import { clock, digits, grouped } from '../../format.js';
import { type CliIo, type Colours, type TextStream, coloursOf, columnsOf } from './io.js';
import { printableLine } from './printable.js';
import { visible } from './text.js';

export interface ProgressState {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  /** Of `done`'s unit, per second. By default worked out from the time. */
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

const shareOf = ({ done, total }: ProgressState): number =>
  total > 0 ? Math.min(1, done / total) : 0;

/** Label, and then share, rate, time left, extra: what both ways to show it have in common. */
function partsOf(state: ProgressState): { readonly head: string; readonly parts: string[] } {
  const { label, done, total, unit, from, seconds, extra } = state;
  const share = shareOf(state);
  const perSecond = seconds > 0 ? (done - from) / seconds : 0;
  const rate = state.rate ?? perSecond;
  const left = perSecond > 0 ? clock((total - done) / perSecond) : '-:--';
  const head = `  ${printableLine(label)}  `;
  const parts = [`${Math.floor(100 * share)}%`.padStart(4)];
  if (rate > 0) parts.push(`${rate >= 100 ? grouped(Math.round(rate)) : digits(rate)} ${unit}/s`);
  parts.push(`${left} left`);
  if (extra !== undefined) parts.push(printableLine(extra));
  return { head, parts };
}

/** One line of a log, without colours or bar. */
function renderLine(state: ProgressState): string {
  const { head, parts } = partsOf(state);
  return head + parts.join('  ');
}

/** One line, never longer than the width: label, bar, share, rate, time left, extra. */
export function renderProgress(state: ProgressState, width: number, colours: Colours): string {
  const { head, parts } = partsOf(state);
  const share = shareOf(state);
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

/** Without a terminal: so long after the last line there is another one, in milliseconds. */
const lineInterval = 30_000;

interface Task {
  readonly total: number;
  readonly unit: string;
  /** Where it began: more than 0 in resumed work. */
  readonly from: number;
  readonly start: number;
  done: number;
  extras: Extras;
  /** What the last line said was done; undefined while there is none. */
  written: number | undefined;
}

/**
 * Shows how far long work is: a bar that redraws itself where stderr is a terminal. In a file or a pipe there is a
 * line where nothing else was written for half a minute, so that a log shows life and stays short.
 */
export class Progress {
  readonly #io: CliIo;
  readonly #colours: Colours;
  readonly #live: boolean;
  readonly #now: () => number;
  /** When the last line was written. */
  #lastLine: number;
  #task: Task | undefined;
  #bar: cliProgress.SingleBar | undefined;

  constructor(io: CliIo) {
    this.#io = io;
    this.#colours = coloursOf(io.stderr, io.env);
    this.#live = io.stderr.isTTY === true && io.env['TERM'] !== 'dumb';
    this.#now = io.now ?? (() => performance.now());
    this.#lastLine = this.#now();
  }

  get colours(): Colours {
    return this.#colours;
  }

  /** Begins a bar, in place of one that is there. */
  begin(label: string, total: number, unit: string, from = 0): void {
    this.end();
    const start = this.#now();
    this.#task = { total, unit, from, start, done: from, extras: { label }, written: undefined };
    if (this.#live) this.#draw();
  }

  get busy(): boolean {
    return this.#task !== undefined;
  }

  update(done: number, extras: Extras = {}): void {
    if (!this.#task) return;
    this.#task.done = done;
    this.#task.extras = { ...this.#task.extras, ...extras };
    this.#bar?.update(done);
    if (!this.#live && this.#now() - this.#lastLine >= lineInterval) this.#writeLine(this.#task);
  }

  /** Takes the bar away. A log that has seen a part of the work sees its end, too. */
  end(): void {
    const task = this.#task;
    const isNews = task?.written !== undefined && task.written < task.done;
    if (!this.#live && isNews && task.done >= task.total) this.#writeLine(task);
    this.#task = undefined;
    this.#clear();
  }

  /** A line above the bar. */
  line(text: string): void {
    this.#clear();
    this.#io.stderr.write(`${text}\n`);
    this.#lastLine = this.#now();
    if (this.#task && this.#live) this.#draw();
  }

  #writeLine(task: Task): void {
    task.written = task.done;
    this.line(renderLine(this.#stateOf(task)));
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
    return renderProgress(this.#stateOf(this.#task), columnsOf(this.#io.stderr), this.#colours);
  }

  #stateOf({ total, unit, from, start, done, extras }: Task): ProgressState {
    const seconds = (this.#now() - start) / 1000;
    return { done, total, unit, from, seconds, ...extras, label: extras.label ?? '' };
  }
}
