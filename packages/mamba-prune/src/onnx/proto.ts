// ONNX files: one protobuf message, ModelProto. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
import protobuf from 'protobufjs';
import { FormatError } from '@mamba-prune/libtorch';
import type { GraphProto, ModelProto } from './messages.js';

/** The messages of messages.ts, as protobuf wants them described. */
const schema = `
  syntax = "proto3";
  message AttributeProto {
    string name = 1;
    float f = 2;
    int64 i = 3;
    bytes s = 4;
    TensorProto t = 5;
    GraphProto g = 6;
    repeated float floats = 7;
    repeated int64 ints = 8;
    repeated bytes strings = 9;
    int32 type = 20;
  }
  message NodeProto {
    repeated string input = 1;
    repeated string output = 2;
    string name = 3;
    string op_type = 4;
    repeated AttributeProto attribute = 5;
    string doc_string = 6;
    string domain = 7;
  }
  message TensorProto {
    repeated int64 dims = 1;
    int32 data_type = 2;
    string name = 8;
    bytes raw_data = 9;
  }
  message Dimension {
    oneof value {
      int64 dim_value = 1;
      string dim_param = 2;
    }
  }
  message TensorShapeProto {
    repeated Dimension dim = 1;
  }
  message TensorType {
    int32 elem_type = 1;
    TensorShapeProto shape = 2;
  }
  message TypeProto {
    TensorType tensor_type = 1;
  }
  message ValueInfoProto {
    string name = 1;
    TypeProto type = 2;
    string doc_string = 3;
  }
  message StringStringEntryProto {
    string key = 1;
    string value = 2;
  }
  message OperatorSetIdProto {
    string domain = 1;
    int64 version = 2;
  }
  message GraphProto {
    repeated NodeProto node = 1;
    string name = 2;
    repeated TensorProto initializer = 5;
    string doc_string = 10;
    repeated ValueInfoProto input = 11;
    repeated ValueInfoProto output = 12;
    repeated ValueInfoProto value_info = 13;
  }
  message ModelProto {
    int64 ir_version = 1;
    string producer_name = 2;
    string producer_version = 3;
    string domain = 4;
    int64 model_version = 5;
    string doc_string = 6;
    GraphProto graph = 7;
    repeated OperatorSetIdProto opset_import = 8;
    repeated StringStringEntryProto metadata_props = 14;
  }
`;

// Names as in the standard, without camel case.
const modelType = protobuf.parse(schema, { keepCase: true }).root.lookupType('ModelProto');

/** Protobuf's own limit of a message; files beyond it would need their weights outside. */
const mostBytes = 2 ** 31 - 1;

/** @throws FormatError if the weights take 2 GiB or more, which one ONNX file cannot hold */
export function encodeModel(model: ModelProto): Uint8Array {
  const weights = model.graph.initializer.reduce((sum, { raw_data }) => sum + raw_data.length, 0);
  if (weights >= mostBytes) {
    throw new FormatError(
      `ONNX: got ${weights} bytes of weights, but one file holds less than 2 GiB. Use \`dtype\` float16 or prune the model.`,
    );
  }
  return modelType.encode(modelType.create(model)).finish();
}

/**
 * The bytes of tensors are views of `bytes`.
 * @throws FormatError if they are no ONNX model
 */
export function decodeModel(bytes: Uint8Array, where = 'ONNX'): ModelProto {
  let model: Omit<ModelProto, 'graph'> & { readonly graph: GraphProto | null };
  try {
    // Integers as numbers: all that we read are far below 2^53.
    model = modelType.toObject(modelType.decode(bytes), {
      longs: Number,
      arrays: true,
      defaults: true,
    }) as typeof model;
  } catch (error) {
    throw new FormatError(
      `${where}: is no ONNX model, or cut short: ${(error as Error).message}. ` +
        'Expected a file of mamba-prune export; write or copy it anew.',
    );
  }
  const { graph } = model;
  if (graph === null || model.opset_import.length === 0) {
    throw new FormatError(
      `${where}: is no ONNX model: it has no graph or no operator sets. Expected a file of mamba-prune export.`,
    );
  }
  return { ...model, graph };
}
