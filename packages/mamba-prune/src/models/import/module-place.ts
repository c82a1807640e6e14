// A module of a whole model that was pickled, and where it lies.
import type { PickledModule } from '@mamba-prune/libtorch/files';

export interface PlacedModule {
  /** In the model, without what wrappers put before: `layer1.0.conv1`. */
  readonly name: string;
  /** In the file. */
  readonly at: string;
  readonly module: PickledModule;
}

/** `MaxPool2d`. */
export const classOf = ({ type }: PickledModule): string => type.replace(/^.*\./, '');

/** Whether it is known what a module of its class computes: a script's own may be anything. */
export const isOfLibrary = ({ type }: PickledModule): boolean =>
  /^(?:torch|torchvision|timm|transformers)\./.test(type);

/** More modules in modules than any model has; a name may have any number of points. */
const deepest = 200;

/** The modules that a name lies in, from the outermost, which is ''. */
export function modulesAround(name: string): string[] {
  const steps = name.split('.', deepest + 1).slice(0, -1);
  return ['', ...steps.map((_, at) => steps.slice(0, at + 1).join('.'))];
}
