// Reading sizes off the shapes of a state dict.
import { FormatError } from '@mamba-prune/libtorch';
import { listed } from '../../printable.js';
import type { Shapes } from './layout.js';

export class ShapeReader {
  readonly family: string;
  readonly shapes: Shapes;

  constructor(family: string, shapes: Shapes) {
    this.family = family;
    this.shapes = shapes;
  }

  has(name: string): boolean {
    return this.shapes.has(name);
  }

  /**
   * Size of one dimension of a tensor.
   * @param ndim - dimensions that the tensor must have
   * @throws FormatError if the tensor is missing or has another number of dimensions
   */
  size(name: string, dim: number, ndim: number): number {
    const shape = this.shapes.get(name);
    if (!shape) {
      throw new FormatError(
        `import: got the weights of a ${this.family} without '${name}', which every ${this.family} here has. The file is incomplete, or of another model.`,
      );
    }
    if (shape.length !== ndim) {
      throw new FormatError(
        `import: got '${name}' of shape [${shape.join(', ')}], expected ${ndim} dimensions`,
      );
    }
    const size = shape[dim] as number;
    if (size === 0) {
      throw new FormatError(
        `import: got '${name}' of shape [${shape.join(', ')}], which holds nothing, expected sizes from 1`,
      );
    }
    return size;
  }

  /** How many modules `prefix.0`, `prefix.1`, ... there are. */
  count(prefix: string): number {
    const indices = new Set<string>();
    for (const name of this.shapes.keys()) {
      if (!name.startsWith(`${prefix}.`)) continue;
      indices.add(name.slice(prefix.length + 1).split('.', 1)[0] as string);
    }
    let count = 0;
    while (indices.has(String(count))) count++;
    return count;
  }
}

/**
 * What to say of a backbone, or of a classifier of several layers.
 * @param name - of the classifier's weight
 */
export function missingClassifier(name: string, shapes: Shapes): FormatError {
  const stem = name.replace(/weight$/, '');
  const layers = [...shapes].filter(
    ([other, shape]) => other.startsWith(stem) && other.endsWith('.weight') && shape.length > 0,
  );
  if (layers.length > 0) {
    return new FormatError(
      `import: got ${listed(layers.map(([other, shape]) => `'${other}' of shape [${shape.join(', ')}]`))} in the place of the classifier, expected ` +
        `'${name}' alone: no architecture here has more than one linear layer there, or norms whose order no number tells. A family of your own can (\`loadPlugin\`, docs/extend.md).`,
    );
  }
  return new FormatError(
    `import: got weights without '${name}': a backbone that gives features (num_classes=0), and no layer that is its classifier for certain, expected a ` +
      'model with one. Where the file has none, train one on the features where it was made and save both together, or add its weight and bias to the file under this name.',
  );
}
