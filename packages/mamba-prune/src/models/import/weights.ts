// The weights of a file that are meant, and the model that they make.
import { basename } from 'node:path';
import { FormatError, type Tensor, scope, zeros } from '@mamba-prune/libtorch';
import { zeroScript } from '../../distributed-names.js';
import { UsageError } from '../../errors.js';
import { listed } from '../../printable.js';
import { familyNamed } from '../families.js';
import { checkTensors } from '../file-checks.js';
import { checkFinite } from '../finite.js';
import { createModelFromConfig } from '../registry.js';
import { type Choice, type FoundDict, chooseStateDict } from './choice.js';
import { joinParts, joinedShapes, refuseOtherParts } from './derived.js';
import type { WeightsFile } from './file.js';
import { infoOf } from './info.js';
import type { ModelModules, ScriptArguments, Shapes } from './layout.js';
import type { ImportOptions, ImportedModel } from './model.js';
import { readModel, readableFamily, telling } from './read.js';

/** A model that was read, and what became what. */
export interface TracedModel extends ImportedModel {
  /** Names of its tensors, with those that they had before they were turned into ours. */
  readonly origins: ReadonlyMap<string, string>;
}

/** The weights of an open file that are meant, in memory; dispose them. */
export class ChosenWeights {
  readonly choice: Choice<FoundDict>;
  readonly #names: readonly string[];
  readonly #shapes: Shapes;
  /** Undefined for names of no model, whose values nobody needs: there may be very many. */
  readonly #tensors: ReadonlyMap<string, Tensor> | undefined;
  readonly #notes: readonly string[];
  readonly #advice: readonly string[];
  readonly #file: string;

  /**
   * @param said - as for `importModel`
   * @throws FormatError, UsageError as `importModel`
   */
  constructor(
    path: string,
    file: WeightsFile,
    { key, classifier }: Pick<ImportOptions, 'key' | 'classifier'> = {},
  ) {
    this.choice = chooseStateDict(file.dicts, telling, key, classifier);
    refuseEmpty(this.choice);
    const { dict, names } = this.choice;
    const readable = [...names].filter(([, stored]) => dict.unreadable?.has(stored) !== true);
    this.#names = readable.map(([name]) => name);
    this.#shapes = joinedShapes(
      new Map(readable.map(([name, stored]) => [name, dict.shapes.get(stored) ?? []])),
    );
    if (telling.isModel(this.#shapes)) this.#tensors = file.load(dict, names);
    this.#notes = [...this.choice.notes, ...(file.notes ?? [])];
    this.#advice = this.choice.advice;
    this.#file = basename(path);
  }

  /**
   * The model that they make. Values are copied.
   * @param args - of the script that trained it
   * @param modules - of a whole model that was pickled
   * @throws FormatError, UsageError as `importModel`
   */
  import(options: ImportOptions, args?: ScriptArguments, modules?: ModelModules): TracedModel {
    const { key } = this.choice;
    const taken = { ...options, key: key === '' ? undefined : key };
    return withNotes(
      this.#notes,
      () => fromTensors(this.#tensors ?? this.#refuse(args), taken, this.#file, args, modules),
      this.#advice,
    );
  }

  /** Says of what the names are none. */
  #refuse(args: ScriptArguments | undefined): never {
    refuseOtherParts(this.#names);
    const { family } = readableFamily(this.#shapes, args);
    throw new Error(`the names of a ${family.name} were taken for those of no model`);
  }

  dispose(): void {
    for (const tensor of this.#tensors?.values() ?? []) tensor.dispose();
  }
}

/** @throws FormatError for weights without values, which stand for those that other files have */
function refuseEmpty({ dict, names }: Choice<FoundDict>): void {
  const stored = [...names.values()];
  const empty = stored.filter((name) => dict.shapes.get(name)?.includes(0) === true);
  const [first] = empty;
  if (first === undefined || 2 * empty.length < stored.length) return;
  throw new FormatError(
    `import: got ${listed([`'${first}'`])} of shape [${dict.shapes.get(first)?.join(', ')}], the first of ${empty.length} tensors without values, expected weights. ` +
      'DeepSpeed leaves such a file where the parameters are spread over its processes (ZeRO stage 3): make one of all with the ' +
      `${zeroScript} that lies beside its checkpoints.`,
  );
}

/**
 * Says what was left out of a file in the message on what is missing in it, too.
 * @param advice - sentences for that message alone
 */
export function withNotes<T extends ImportedModel>(
  notes: readonly string[],
  body: () => T,
  advice: readonly string[] = [],
): T {
  try {
    const imported = body();
    return { ...imported, notes: [...notes, ...imported.notes] };
  } catch (error) {
    const said = [...advice, ...notes];
    if (said.length === 0 || !(error instanceof FormatError || error instanceof UsageError)) {
      throw error;
    }
    const message = [error.message.replace(/(?<![.?!])$/, '.'), ...said].join(' ');
    throw error instanceof UsageError
      ? new UsageError(message, { cause: error })
      : new FormatError(message, { cause: error });
  }
}

/**
 * The model that tensors are of. Their values are copied.
 * @param given - under the model's own names
 * @param file - what its history calls the file
 */
export function fromTensors(
  given: ReadonlyMap<string, Tensor>,
  options: ImportOptions,
  file?: string,
  args?: ScriptArguments,
  modules?: ModelModules,
): TracedModel {
  const { tensors: joined, made, notes: joinNotes } = joinParts(given);
  const { arch, key, classifier, dataset, classes, mean, std, ...others } = options;
  const { allowNotFinite = false, interpolation, cropShare, ...sizes } = others;
  try {
    // Tensors that a layout changes go with the scope.
    return scope(() => {
      const read = readModel(joined, { arch, ...sizes }, args, modules);
      checkImported(read.config, read.tensors);
      const model = createModelFromConfig(read.config);
      try {
        const tensors = new Map(read.tensors);
        // Counters that the file does not have.
        for (const name of model.stateDict().keys()) {
          if (!tensors.has(name)) tensors.set(name, zeros([]));
        }
        model.loadStateDict(tensors);
        if (!allowNotFinite) checkFinite(model.stateDict());
        const said = { dataset, classes, mean, std, interpolation, cropShare };
        const { layout } = familyNamed(model.config);
        const data = infoOf(model.config, said, layout?.interpolation);
        const assumed = [...read.assumed, ...data.assumed];
        const notes = [...joinNotes, ...read.notes, ...conversionNotes(joined)];
        const from = { file, key, classifier };
        const step = { step: 'import', arch: model.config.arch, ...from, assumed, notes };
        const history = [
          Object.fromEntries(Object.entries(step).filter(([, v]) => v !== undefined)),
        ];
        const info = { ...data.info, history };
        return {
          model: model.eval(),
          info,
          assumed,
          notes,
          origins: originsOf(read.tensors, joined),
        };
      } catch (error) {
        model.dispose();
        throw error;
      }
    });
  } finally {
    for (const tensor of made) tensor.dispose();
  }
}

/** Of tensors that no conversion has changed. */
function originsOf(
  made: ReadonlyMap<string, Tensor>,
  given: ReadonlyMap<string, Tensor>,
): Map<string, string> {
  const names = new Map(Array.from(given, ([name, tensor]) => [tensor, name]));
  return new Map(
    Array.from(made).flatMap(([name, tensor]) => {
      const origin = names.get(tensor);
      return origin === undefined ? [] : [[name, origin] as const];
    }),
  );
}

/** Models compute in float32, whatever the file has. */
function conversionNotes(tensors: ReadonlyMap<string, Tensor>): string[] {
  const counts = new Map<string, number>();
  for (const { isFloat, dtype } of tensors.values()) {
    if (isFloat && dtype !== 'float32') counts.set(dtype, (counts.get(dtype) ?? 0) + 1);
  }
  return Array.from(
    counts,
    ([dtype, count]) =>
      `Converted ${count} ${count === 1 ? 'tensor' : 'tensors'} from ${dtype} to float32.`,
  );
}

/** Before a model is made. @throws FormatError as `checkTensors` */
function checkImported(
  config: Parameters<typeof checkTensors>[0],
  tensors: ReadonlyMap<string, Tensor>,
): void {
  try {
    checkTensors(config, tensors);
  } catch (error) {
    throw error instanceof FormatError
      ? new FormatError(`import: ${error.message}${adviceOn(error.message)}`)
      : error;
  }
}

/** A tensor too many is not left out: the model that it is of may compute with it. */
function adviceOn(problems: string): string {
  const [, got, expected] =
    /(?:^|[;:] )(?:\w+\.)?(?:fc|head)\.weight is \[\d+, (\d+)\], expected \[\d+, (\d+)\]/.exec(
      problems,
    ) ?? [];
  if (got !== undefined) {
    return (
      `. The classifier reads ${got} numbers, and the network gives ${expected ?? ''}: one that reads two poolings side by side (catavgmax), or what ` +
      'layers between them make, is of no architecture here.'
    );
  }
  return problems.includes(' unexpected: ')
    ? '. If the forward pass does not read what is unexpected, save the file without it. If it does, the model is another one, ' +
        'which a plugin can define (`loadPlugin`, docs/extend.md).'
    : '';
}
