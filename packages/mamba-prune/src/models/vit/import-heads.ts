// How many heads an attention has, and how wide they are. Their product is all that shapes tell.
import { FormatError } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import { UntoldError } from '../import/untold.js';

export interface Heads {
  /** Width of a head in most blocks, or in all. */
  readonly headDim: number;
  /** By block. */
  readonly heads: readonly number[];
  /** By block, where they differ. */
  readonly headDims?: readonly number[];
  readonly assumed: readonly string[];
  readonly notes: readonly string[];
}

export interface HeadQuestion {
  /** Rows of q in each block: heads times their width. */
  readonly widths: readonly number[];
  readonly dModel: number;
  /** Heads of the architecture, where its sizes are those of the file. */
  readonly known: number | undefined;
  readonly arch: string;
  /** Why they are not those of the architecture, as a whole sentence, where one may think so. */
  readonly why?: string | undefined;
}

/**
 * @param said - `heads`: as they were before any were removed, or as they are now where all were made narrower
 * @throws UntoldError if it is not certain; UsageError if it is not what was said
 */
export function readHeads(
  question: HeadQuestion,
  said: { readonly heads?: number | undefined; readonly headDim?: number | undefined },
): Heads {
  const { widths, dModel, known, arch, why } = question;
  checkSaid(said);
  if (said.headDim !== undefined) return ofWidth(question, said.headDim, said.heads);
  if (said.heads !== undefined) return ofCount(question, said.heads);
  if (known !== undefined && widths.every((width) => width === dModel)) {
    const headDim = dModel / known;
    return {
      headDim,
      heads: widths.map(() => known),
      assumed: [`heads ${known}`],
      notes: [
        `No shape tells the number of heads: ${known} of width ${headDim} were taken, those of ${arch}. ` +
          'Give `heads` if the model has others.',
      ],
    };
  }
  if (widths.every((width) => width === dModel)) {
    throw new UntoldError(
      `import: got attentions of width ${dModel} in a model of width ${dModel}, and no shape tells how many heads they have, ` +
        `expected their number. ${why === undefined ? '' : `${why} `}Give \`heads\`, as in the script that made the model, or the width of one as \`headDim\`.`,
    );
  }
  throw new UntoldError(
    `import: got attentions of width ${ranges(widths)} in a model of width ${dModel}, and no shape tells how many heads they ` +
      `have, expected the width of one head. Give \`headDim\`: that of the trained model${known === undefined ? '' : ` (${dModel / known} in ${arch})`} ` +
      'if whole heads were removed, less if every head was made narrower.',
  );
}

function checkSaid(said: {
  readonly heads?: number | undefined;
  readonly headDim?: number | undefined;
}): void {
  for (const [name, value] of Object.entries(said)) {
    if (value === undefined || (Number.isInteger(value) && value > 0)) continue;
    const flag = name === 'heads' ? '`heads`' : '`headDim`';
    throw new UsageError(`import: ${flag}: got ${String(value)}, expected a positive integer.`);
  }
}

function ofWidth(
  { widths, dModel, known }: HeadQuestion,
  headDim: number,
  saidHeads: number | undefined,
): Heads {
  const block = widths.findIndex((width) => width % headDim !== 0);
  if (block >= 0) {
    throw new UsageError(
      `import: \`headDim\`: got ${headDim} for an attention of width ${widths[block]} (block ${block}), expected a divisor of it.`,
    );
  }
  const heads = widths.map((width) => width / headDim);
  const most = Math.max(...heads);
  // Either what there is, or what there was before heads were removed.
  if (saidHeads !== undefined && saidHeads !== most && saidHeads * headDim !== dModel) {
    throw new UsageError(
      `import: got \`heads\` ${saidHeads} with \`headDim\` ${headDim}, but the attentions of width ${ranges(widths)} have ` +
        `${ranges(heads)} such heads. Leave \`heads\` out.`,
    );
  }
  if (saidHeads !== undefined && saidHeads < most) {
    throw new UsageError(
      `import: got \`heads\` ${saidHeads} with \`headDim\` ${headDim}, but there are ${most} heads of that width in an attention. Leave \`heads\` out.`,
    );
  }
  return {
    headDim,
    heads,
    assumed: [],
    notes: scaleNotes(headDim, known === undefined ? dModel / most : dModel / known),
  };
}

/** Whole heads may have been removed, or every head made narrower: both can fit, and then neither is certain. */
function ofCount({ widths, dModel, known }: HeadQuestion, count: number): Heads {
  const whole = dModel / count;
  const removed =
    Number.isInteger(whole) &&
    widths.every((width) => width % whole === 0 && width / whole <= count);
  const narrower = widths.every((width) => width % count === 0);
  const isWhole = widths.every((width) => width === dModel);
  if (removed && narrower && !isWhole) {
    throw new UsageError(
      `import: \`heads\`: got ${count} for attentions of width ${ranges(widths)} in a model of width ${dModel}: ` +
        `these may be ${ranges(widths.map((width) => width / whole))} heads of width ${whole}, or ${count} heads of width ` +
        `${ranges(widths.map((width) => width / count))}. Give \`headDim\` too.`,
    );
  }
  if (removed) {
    const heads = widths.map((width) => width / whole);
    return { headDim: whole, heads, assumed: [], notes: [] };
  }
  if (narrower) {
    const headDims = widths.map((width) => width / count);
    const [headDim = 1] = headDims;
    return {
      headDim,
      heads: widths.map(() => count),
      ...(headDims.some((width) => width !== headDim) && { headDims }),
      assumed: [],
      notes: [
        `Every attention was read as ${count} heads, of width ${ranges(headDims)}.`,
        ...scaleNotes(Math.max(...headDims), dModel / (known ?? count)),
      ],
    };
  }
  throw new UsageError(
    Number.isInteger(whole) || widths.some((width) => width !== dModel)
      ? `import: \`heads\`: got ${count} heads for attentions of width ${ranges(widths)} in a model of width ${dModel}, expected a number ` +
          'whose heads make these widths. Give `headDim`, the width of one head, instead.'
      : `import: \`heads\`: got ${count} heads for a width of ${dModel}, expected a divisor of the width.`,
  );
}

/** Narrower heads than there were `before`: programs scale them in two ways. */
function scaleNotes(headDim: number, before: number): string[] {
  if (headDim >= before) return [];
  return [
    `Attention is scaled by 1/sqrt(head width), ${headDim} here, as scaled_dot_product_attention does it. If heads were made narrower ` +
      'and the program that did it kept the scale of the wider heads (timm without fused attention), multiply the rows of q by the ratio first.',
  ];
}

/** Rows of q, k and v together to those of q. @throws FormatError */
export function attentionWidth(name: string, rows: number): number {
  if (rows > 0 && rows % 3 === 0) return rows / 3;
  throw new FormatError(
    `import: got '${name}' of ${rows} rows, expected a multiple of 3: as many for q as for k and v.`,
  );
}

/** `64`, or `32 to 64` */
function ranges(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `${least}` : `${least} to ${most}`;
}
