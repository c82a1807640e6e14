// The tensors of a file held against those of a model.
import { listed } from '../printable.js';
import type { Shapes } from './import/layout.js';

/**
 * Every way in which the tensors of a file differ from those of a model, one line each.
 * @param optional - whether the file may lack a tensor
 */
export function shapeProblems(
  expected: Shapes,
  got: Shapes,
  optional: (name: string) => boolean,
): string[] {
  const missing = [...expected.keys()].filter((name) => !got.has(name) && !optional(name));
  const unexpected = [...got.keys()].filter((name) => !expected.has(name));
  const wrong = Array.from(expected).flatMap(([name, shape]) => {
    const other = got.get(name);
    return other && shown(other) !== shown(shape)
      ? [`${name} is [${other.join(', ')}], expected [${shape.join(', ')}]`]
      : [];
  });
  return [
    ...(missing.length > 0 ? [`${missing.length} missing: ${listed(missing)}`] : []),
    ...(unexpected.length > 0 ? [`${unexpected.length} unexpected: ${listed(unexpected)}`] : []),
    ...wrong.slice(0, 8),
    ...(wrong.length > 8 ? [`${wrong.length - 8} more of the wrong shape`] : []),
  ];
}

const shown = (shape: readonly number[]): string => JSON.stringify(shape);
