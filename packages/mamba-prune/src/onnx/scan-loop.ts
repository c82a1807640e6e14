// The standard's Scan: a graph that is run for one position after another.
import type { GraphBuilder, Value } from './graph-builder.js';

export interface Loop<Name extends string> {
  /** What the first position begins with. */
  readonly initial: Value;
  /** Taken apart along their first dimension, the length, one slice for each position. */
  readonly sequences: Readonly<Record<Name, Value>>;
  /** From the last position to the first. */
  readonly reverse: boolean;
  /** @returns the state for the next position, and this one's slice of the result */
  readonly step: (
    body: GraphBuilder,
    state: Value,
    slices: Readonly<Record<Name, Value>>,
  ) => { readonly next: Value; readonly output: Value };
}

/** @returns the results of all positions, one below the other along a first dimension */
export function scanLoop<Name extends string>(
  g: GraphBuilder,
  { initial, sequences, reverse, step }: Loop<Name>,
): Value {
  const names = Object.keys(sequences) as Name[];
  const values = names.map((name) => sequences[name]);
  const body = g.at('step').inner();
  const state = body.input('h', initial.type, initial.shape);
  const slices = Object.fromEntries(
    names.map((name) => {
      const { type, shape } = sequences[name];
      return [name, body.input(name, type, shape.slice(1))];
    }),
  ) as Record<Name, Value>;
  const { next, output } = step(body, state, slices);
  const length = values[0]?.shape[0] ?? 0;
  const direction = Number(reverse);
  const [, result] = g.nodes(
    'Scan',
    [initial, ...values],
    [initial, { type: output.type, shape: [length, ...output.shape] }],
    {
      attributes: {
        body: { graph: body.build(`${state.name}.step`, [next, output]) },
        num_scan_inputs: { int: values.length },
        scan_input_directions: { ints: values.map(() => direction) },
        scan_output_directions: { ints: [direction] },
      },
    },
  );
  return result as Value;
}
