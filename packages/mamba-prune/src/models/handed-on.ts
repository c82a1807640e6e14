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
