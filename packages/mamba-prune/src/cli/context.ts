import type { Command } from 'commander';
import { asTyped } from '../called-as.js';
import { boxedArgument, boxedNameOf } from '../boxed-models.js';
import { originOf, originText } from '../hub/origin.js';
import { refuseEmptyTexts } from './empty-texts.js';
import { withoutClassName } from './class-names.js';
import { inFlags } from './flag-spelling.js';
import type { CommonOptions } from './options/common.js';
import { relativePath } from '../shell.js';
import { type CliIo, type Colours, coloursOf, columnsOf } from './terminal/io.js';
import { Progress } from './terminal/progress.js';
import type { Cell, Column } from './terminal/layout.js';
import { printable, printableLine, printableMessage } from './terminal/printable.js';
import { type Fact, renderFacts, renderTable } from './terminal/table.js';
import { shorten, wrapText } from './terminal/text.js';

/** State of one invocation of the program. */
export interface Cli {
  readonly io: CliIo;
  /** Arguments without node and script. */
  readonly argv: readonly string[];
  /** `mamba-prune train`, as error messages begin. */
  current: string;
  /** Of that command, with their dashes. */
  flags: readonly string[];
}

/** Ctrl-C was pressed and the work stopped in good order. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';

  /** The command that goes on from here. */
  readonly resume: string | undefined;

  constructor(message: string, resume?: string) {
    super(message);
    this.resume = resume;
  }
}

/** Some of what was asked for could not be done: the result is out, for people and for machines, and says what. */
export class IncompleteError extends Error {
  override readonly name = 'IncompleteError';
}

/** The file of a model as the reader knows it: where it was downloaded from, `models:NAME`, or its path from here. */
export function shownPath(path: string): string {
  const boxed = boxedNameOf(path);
  const origin = originOf(path);
  const own = origin ? originText(origin) : relativePath(path);
  return boxed === undefined ? own : boxedArgument({ name: boxed });
}

/** What a command's action is given: where to print, and what it was told. */
export class Context<O extends CommonOptions = CommonOptions> {
  readonly progress: Progress;
  readonly colours: Colours;
  readonly width: number;
  readonly #noted = new Set<string>();

  readonly io: CliIo;
  readonly options: O;
  /** Options that were typed, without defaults. */
  readonly given: Partial<O>;
  /** The command line as typed. */
  readonly argv: readonly string[];
  /** That the command has, with their dashes. */
  readonly flags: readonly string[];

  constructor(
    io: CliIo,
    options: O,
    given: Partial<O> = {},
    argv: readonly string[] = [],
    flags: readonly string[] = [],
  ) {
    this.io = io;
    this.options = options;
    this.given = given;
    this.argv = argv;
    this.flags = flags;
    this.progress = new Progress(io);
    this.colours = coloursOf(io.stdout, io.env);
    this.width = columnsOf(io.stdout);
  }

  /** The result for people, printable but for its colours; under --json stdout belongs to the object. */
  print(text = ''): void {
    this.progress.end();
    if (this.options.json !== true) this.io.stdout.write(`${text}\n`);
  }

  title(text: string): void {
    // Not indented, so that it may be two columns longer.
    const lines = wrapText(printable(text), this.width + 2).replaceAll(/^ {2}/gm, '');
    this.print(this.colours.bold(lines));
  }

  /** A path above what is said of it: that it fits matters more than its beginning. */
  pathTitle(path: string): void {
    this.title(shorten(printableLine(shownPath(path)), this.width));
  }

  /** Text for people, indented and broken at blanks. */
  paragraph(text: string): void {
    this.print(wrapText(printable(text), this.width));
  }

  table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): void {
    this.print(renderTable(columns, rows, this.colours, this.width));
  }

  facts(facts: readonly Fact[]): void {
    this.print(renderFacts(facts, this.colours, this.width));
  }

  /** The result for machines. */
  json(value: object): void {
    this.progress.end();
    if (this.options.json === true) this.io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  }

  /** Something the user should know, on stderr; the same text once only. */
  note(said: string): void {
    // Parts of notes are messages of errors that were no reason to end.
    const text = asTyped(withoutClassName(inFlags(said, this.flags, { isUsage: false })));
    if (this.#noted.has(text)) return;
    this.#noted.add(text);
    const { colours } = this.progress;
    this.progress.line(colours.yellow(wrapText(printableMessage(text), columnsOf(this.io.stderr))));
  }
}

/**
 * Connects a command to its action; arguments come first, as commander gives them.
 * Rejected promises end the program in `run`.
 */
export function action<O extends CommonOptions>(
  cli: Cli,
  command: Command,
  body: (context: Context<O>, ...args: string[]) => Promise<void>,
): void {
  command.action(async (...values: unknown[]) => {
    const args = values.slice(0, -2) as string[];
    refuseEmptyTexts(command, args);
    const options = command.opts<O>();
    const typed = Object.entries(options).filter(
      ([name]) => command.getOptionValueSource(name) === 'cli',
    );
    const given = Object.fromEntries(typed) as Partial<O>;
    const context = new Context(cli.io, options, given, cli.argv, cli.flags);
    try {
      await body(context, ...args);
    } finally {
      context.progress.end();
    }
  });
}

/** `Examples:` at the end of a help text. */
export function addExamples(
  command: Command,
  examples: readonly (readonly [what: string, line: string])[],
): void {
  command.addHelpText(
    'after',
    ({ command: shown }) =>
      `\n${shown.createHelp().styleTitle('Examples:')}\n` +
      examples.map(([what, line]) => `  # ${what}\n  ${asTyped(line)}`).join('\n\n'),
  );
}
