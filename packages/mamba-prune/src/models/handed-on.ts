// What a file says of its model when it is made for others.
import { preprocessingOf } from '../preparation/preprocessing.js';
import type { ModelInfo } from './model-file.js';

/**
 * The information on a model as others get it. The preparation is said in full, also of a model whose own file has no
 * record: those who run it need no rule for that. The folders of the machine that made it concern nobody.
 */
export const handedOn = (info: ModelInfo, imageSize: number): ModelInfo => ({
  ...info,
  preprocessing: preprocessingOf(info, imageSize),
  data: undefined,
});

/** The module of a family of one's own as others get it: a package by its name, of a file the name alone. */
export const handedOnModule = (module: string | undefined): string | undefined =>
  module !== undefined && /^(?:\.{0,2}[/\\]|[A-Za-z]:|file:)/.test(module)
    ? module.split(/[/\\]/).at(-1)
    : module;
