// The program: its commands, how help looks, and what becomes of errors.
import { inspect } from 'node:util';
import { Command, CommanderError, Help } from 'commander';
import { isUsageError } from '../errors.js';
import { type Cli, IncompleteError, InterruptedError, addExamples } from './context.js';
import { withoutClassName } from './class-names.js';
import { asTyped } from '../called-as.js';
import { inFlags } from './flag-spelling.js';
import { WorkersEndedError } from './launch.js';
import { memorySentence } from '../memory.js';
import { withLeftOut } from './options/left-out.js';
import { loadPlugins } from './plugin-flags.js';
import { checkCurrentFolder } from './surroundings.js';
import { guardedIo } from './terminal/guarded-io.js';
import { type CliIo, coloursOf, columnsOf, wantsColour } from './terminal/io.js';
import { printable, printableMessage } from './terminal/printable.js';
import { wrapMessage } from './terminal/text.js';
import { packageVersion } from '../version.js';

const exitStatus = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

const programName = 'mamba-prune';

type AddCommand = (program: Command, cli: Cli) => void;

/** In the order of the help. A command is loaded when it is asked for: all of them take half a second. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  quickstart: async () => (await import('./commands/quickstart.js')).addQuickstartCommand,
  train: async () => (await import('./commands/train.js')).addTrainCommand,
  prune: async () => (await import('./commands/prune.js')).addPruneCommand,
  imp: async () => (await import('./commands/imp.js')).addImpCommand,
  eval: async () => (await import('./commands/eval.js')).addEvalCommand,
  predict: async () => (await import('./commands/predict.js')).addPredictCommand,
  inspect: async () => (await import('./commands/inspect.js')).addInspectCommand,
  sensitivity: async () => (await import('./commands/sensitivity.js')).addSensitivityCommand,
  bench: async () => (await import('./commands/bench.js')).addBenchCommand,
  compare: async () => (await import('./commands/compare.js')).addCompareCommand,
  report: async () => (await import('./commands/report.js')).addReportCommand,
  studio: async () => (await import('./commands/studio.js')).addStudioCommand,
  export: async () => (await import('./commands/export.js')).addExportCommand,
  push: async () => (await import('./commands/push.js')).addPushCommand,
  models: async () => (await import('./commands/models.js')).addModelsCommand,
  data: async () => (await import('./commands/data.js')).addDataCommand,
};

/** What the program is made of for these arguments: the command that they begin with; all, for what is of none. */
async function neededCommands([first = '']: readonly string[]): Promise<AddCommand[]> {
  if (first === '-V' || first === '--version') return [];
  const own = Object.hasOwn(commands, first) ? commands[first] : undefined;
  return Promise.all((own ? [own] : Object.values(commands)).map(async (load) => load()));
}

/**
 * Runs the program.
 * @param argv - arguments without node and script
 * @returns the exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C
 */
export async function run(argv: readonly string[], unguarded: CliIo): Promise<number> {
  const io = guardedIo(unguarded);
  const cli: Cli = { io, argv, current: programName, flags: [] };
  try {
    await loadPlugins(argv, io.env, async () =>
      flagsOf(makeProgram(cli, await neededCommands([]))),
    );
    const program = makeProgram(cli, await neededCommands(argv));
    await program.parseAsync([...argv], { from: 'user' });
    return exitStatus.done;
  } catch (error) {
    // Commander has printed its own message already.
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exitStatus.done;
      reportJson(argv, io, error.message.replace(/^error: /, ''), exitStatus.usage);
      return exitStatus.usage;
    }
    return report(argv, cli, error);
  }
}

function makeProgram(cli: Cli, commands: readonly AddCommand[]): Command {
  const program = new Command(programName)
    .description(
      'Train vision Mamba models (or ViTs, ResNets), prune whole channels and neurons away, and see what it gains.',
    )
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .exitOverride();
  decorate(program, cli);
  for (const add of commands) add(program, cli);
  for (const command of allCommands(program)) if (command !== program) decorate(command, cli);
  addExamples(program, [
    ['Train, prune and measure a small model in a few minutes', 'mamba-prune quickstart'],
    [
      'The same by hand: train, prune and fine-tune, compare, export',
      'mamba-prune train --arch mamba_nano --dataset fashion-mnist \\\n' +
        '    --epochs 5 --out runs/a\n' +
        '  mamba-prune prune runs/a --rate 0.7 --epochs 2 --out runs/b\n' +
        '  mamba-prune bench runs/a runs/b\n' +
        '  mamba-prune export runs/b --out pruned.onnx',
    ],
    [
      'Classify a picture without training anything',
      'npm install @mamba-prune/models\n' +
        '  mamba-prune models\n' +
        '  mamba-prune predict models:cifar10/mamba_small-90 cat.jpg',
    ],
    ['What a command takes', 'mamba-prune prune --help'],
  ]);
  return program;
}

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

const flagsOf = (program: Command): ReadonlySet<string> =>
  new Set(allCommands(program).flatMap(({ options }) => options.flatMap(({ long }) => long ?? [])));

function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

/** Of one column, and in no text. */
const tie = '\uE000';

/** Colours, width, and error messages that begin with the command's name. */
function decorate(command: Command, cli: Cli): void {
  const { io } = cli;
  const name = fullName(command);
  const colours = coloursOf(io.stdout, io.env);
  command
    .exitOverride((error) => {
      error.message = withLeftOut(command, error.message);
      throw error;
    })
    .configureHelp({
      subcommandTerm: (sub) => sub.name(),
      styleTitle: (text) => colours.bold(text),
      styleCommandText: (text) => colours.cyan(text),
      styleOptionTerm: (text) => colours.cyan(text),
      styleSubcommandTerm: (text) => colours.cyan(text),
      // No line ends with '(default:'.
      boxWrap: (text, width) =>
        new Help()
          .boxWrap(text.replaceAll('(default: ', `(default:${tie}`), width)
          .replaceAll(tie, ' '),
    })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => columnsOf(io.stdout),
      getErrHelpWidth: () => columnsOf(io.stderr),
      getOutHasColors: () => wantsColour(io.stdout, io.env),
      getErrHasColors: () => wantsColour(io.stderr, io.env),
      outputError: (text, write) => {
        const message = withLeftOut(command, text.trim().replace(/^error: /, ''));
        write(errorText(cli, name, message));
        write(asTyped(`Run '${name} --help' for what it takes.\n`));
      },
    })
    .hook('preAction', (_self, actionCommand) => {
      cli.current = fullName(actionCommand);
      cli.flags = actionCommand.options.flatMap(({ long }) => long ?? []);
      checkCurrentFolder();
    });
}

function errorText({ io }: Cli, name: string, message: string): string {
  const colours = coloursOf(io.stderr, io.env);
  const text = `${colours.red(`${name}:`)} ${printableMessage(withoutCommand(name, message))}`;
  return `${forTerminal(io, text)}\n`;
}

/** Broken into lines for people; what reads a pipe gets it as it is. */
const forTerminal = ({ stderr }: CliIo, text: string): string =>
  stderr.isTTY === true ? wrapMessage(text, columnsOf(stderr)) : text;

/** Messages of the library begin with the workflow, which mostly is called as the command that is named already. */
function withoutCommand(name: string, message: string): string {
  const prefix = `${name.split(' ').at(-1) ?? ''}: `;
  return message.startsWith(prefix) ? message.slice(prefix.length) : message;
}

function report(argv: readonly string[], cli: Cli, error: unknown): number {
  const { io } = cli;
  if (error instanceof InterruptedError) {
    io.stderr.write(`${forTerminal(io, printableMessage(error.message))}\n`);
    if (error.resume !== undefined) io.stderr.write(`Go on with:  ${printable(error.resume)}\n`);
    reportJson(argv, io, error.message, exitStatus.interrupted, { resume: error.resume });
    return exitStatus.interrupted;
  }
  if (error instanceof WorkersEndedError && error.message === '') return error.status;
  const message = messageOf(cli, error);
  io.stderr.write(errorText(cli, cli.current, message));
  if (io.env['DEBUG']?.includes(programName) === true && error instanceof Error) {
    io.stderr.write(`${printableMessage(error.stack ?? '')}\n`);
    if (error.cause !== undefined) io.stderr.write(`cause: ${inspect(error.cause)}\n`);
  }
  if (error instanceof IncompleteError) return exitStatus.failed;
  const status = isUsageError(error) ? exitStatus.usage : exitStatus.failed;
  reportJson(argv, io, withoutCommand(cli.current, message), status);
  return status;
}

/** In the flags' spelling, and without the names of classes. */
function messageOf({ flags }: Cli, error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const message = memorySentence(error) ?? error.message;
  return asTyped(withoutClassName(inFlags(message, flags, { isUsage: isUsageError(error) })));
}

/** Machines get their one object also when something went wrong. */
function reportJson(
  argv: readonly string[],
  io: CliIo,
  message: string,
  status: number,
  more: object = {},
): void {
  if (!argv.includes('--json')) return;
  io.stdout.write(`${JSON.stringify({ error: message, exitStatus: status, ...more }, null, 2)}\n`);
}
