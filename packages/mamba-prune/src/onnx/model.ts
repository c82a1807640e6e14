// A graph as a whole file.
import { packageVersion } from '../version.js';
import type { GraphBuilder, Value } from './graph-builder.js';
import { opsetVersion } from './operators.js';
import type { ModelProto } from './messages.js';

/** The version of the file format that came with the operator set (ONNX 1.15). */
const irVersion = 9;

/** Domains beside the standard's, with the version that we use. */
const otherDomains: Readonly<Record<string, number>> = { 'com.microsoft': 1 };

export interface GraphDescription {
  readonly name: string;
  readonly doc?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** @param outputs - of the graph, under the names that they have */
export function modelOf(
  g: GraphBuilder,
  outputs: readonly Value[],
  { name, doc, metadata = {} }: GraphDescription,
): ModelProto {
  return {
    ir_version: irVersion,
    producer_name: 'mamba-prune',
    producer_version: packageVersion(),
    graph: g.build(name, outputs, doc),
    opset_import: Array.from(g.domains, (domain) => ({
      domain,
      version: otherDomains[domain] ?? opsetVersion,
    })),
    metadata_props: Object.entries(metadata).map(([key, value]) => ({ key, value })),
  };
}
