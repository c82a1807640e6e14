// The layers of a model whose statistics belong to the inputs that they were measured on.
import { nn } from '@mamba-prune/libtorch';

type Modules = Pick<nn.Module, 'namedModules'>;

export const batchNormsOf = (model: Modules): nn.BatchNorm2d[] =>
  [...model.namedModules().values()].filter(
    (part): part is nn.BatchNorm2d => part instanceof nn.BatchNorm2d,
  );

export const hasBatchNorm = (model: Modules): boolean => batchNormsOf(model).length > 0;
