// What the functions of a family give back: of code that no compiler may have seen, it is looked at before it is used.
import { Tensor, nn } from '@mamba-prune/libtorch';
import { checksOf, shown } from '../checks.js';
import { UsageError } from '../errors.js';
import type { Family, ModelShapes } from './family.js';
import { memberOffset, memberUnitSize } from './groups.js';
import type { ImageModel, ModelConfigBase } from './image-model.js';

const got = (value: unknown): string =>
  value instanceof Promise ? 'a promise (these functions are not asynchronous)' : shown(value);

/** @throws UsageError if it is no configuration of this family */
export function configFrom(family: Family, what: string, config: unknown): ModelConfigBase {
  const given = (config ?? {}) as Partial<Record<keyof ModelConfigBase, unknown>>;
  const isConfig = given.family === family.name && typeof given.widths === 'object';
  if (isConfig && given.widths !== null) return config as ModelConfigBase;
  throw new UsageError(
    `family ${family.name}: ${what} gave ${got(config)}, expected the configuration: an object with family ` +
      `'${family.name}' and widths.`,
  );
}

/** @throws UsageError if they are not one shape by name */
export function shapesFrom(family: Family, shapes: unknown): ModelShapes {
  if (shapes instanceof Map) return shapes as ModelShapes;
  throw new UsageError(
    `family ${family.name}: shapes gave ${got(shapes)}, expected a Map of shapes by the names of tensors.`,
  );
}

const methods = ['forward', 'pruningGroups', 'macs', 'withWidths'] as const;

/** @throws UsageError naming what a model lacks, or what of its groups and counts cannot be */
export function modelFrom(family: Family, what: string, model: unknown): ImageModel {
  const where = `family ${family.name}: ${what}`;
  if (!(model instanceof nn.Module)) {
    throw new UsageError(`${where} gave ${got(model)}, expected a model, an nn.Module.`);
  }
  const given = model as Partial<Record<keyof ImageModel, unknown>>;
  const missing = methods.find((name) => typeof given[name] !== 'function');
  if (missing !== undefined) {
    throw new UsageError(`${where} gave a model without the function '${missing}', expected one.`);
  }
  configFrom(family, `the config of what ${what}`, given.config);
  checkGroups(family, model as ImageModel);
  checkMacs(family, model as ImageModel);
  return model as ImageModel;
}

function checkMacs(family: Family, model: ImageModel): void {
  const where = `family ${family.name}: macs`;
  const counts = model.macs();
  checkList(where, counts);
  for (const { name, macs } of counts) {
    checksOf(where).number(shown(name), macs, { min: 0 });
  }
}

function checkGroups(family: Family, model: ImageModel): void {
  const where = `family ${family.name}: pruningGroups`;
  const state = model.stateDict();
  const groups = model.pruningGroups();
  checkList(where, groups);
  for (const group of groups) {
    const of = `${where}: ${shown(group.name)}`;
    if (typeof group.kind !== 'string' || !Object.hasOwn(family.kinds, group.kind)) {
      throw new UsageError(
        `${of}: got the kind ${shown(group.kind)}, expected one of ${Object.keys(family.kinds).join(', ')}.`,
      );
    }
    checksOf(of).integer('size', group.size, { min: 1 });
    if (group.fewest !== undefined) checksOf(of).integer('fewest', group.fewest, { min: 1 });
    checkList(`${of}: members`, group.members);
    for (const member of group.members) {
      const tensor = state.get(member.parameter);
      const size = tensor?.shape[member.dim];
      const end = memberOffset(member) + group.size * memberUnitSize(member);
      if (size !== undefined && size >= end) continue;
      const has = tensor ? `a tensor of shape [${tensor.shape.join(', ')}]` : 'no such tensor';
      throw new UsageError(
        `${of}: got ${has} for ${shown(member.parameter)}, expected one whose dimension ${shown(member.dim)} is ` +
          `${end} long at least.`,
      );
    }
  }
}

function checkList(where: string, list: unknown): void {
  if (Array.isArray(list) && list.every((item) => typeof item === 'object' && item !== null)) {
    return;
  }
  throw new UsageError(`${where}: got ${got(list)}, expected an array of objects.`);
}

/**
 * What a model computed.
 * @param images - how many it was given
 * @param classes - how many there are at least. Default `1`
 * @throws UsageError if it is not one row of logits for each image
 */
export function checkLogits(logits: unknown, images: number, classes = 1): Tensor {
  if (logits instanceof Tensor) {
    const [rows, columns = 0] = logits.shape;
    if (logits.ndim === 2 && rows === images && columns >= classes) return logits;
  }
  const what = logits instanceof Tensor ? `a tensor [${logits.shape.join(', ')}]` : got(logits);
  throw new UsageError(
    `forward: got ${what} from the model, expected logits [${images}, ${classes > 1 ? classes : 'classes'}], a row for each image.`,
  );
}
