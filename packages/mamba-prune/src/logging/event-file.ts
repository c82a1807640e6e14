/**
 * TensorBoard's event files: records of TensorFlow's TFRecord format, each a protobuf message.
 *
 *     uint64 length, uint32 masked CRC-32C of the length, the message, uint32 masked CRC-32C of it
 *
 * all little-endian.
 */
import protobuf from 'protobufjs';
import { maskedCrc32c } from './crc32c.js';

/** The part of TensorFlow's event.proto, summary.proto and histogram.proto that we write. */
const schema = `
  syntax = "proto3";
  message HistogramProto {
    double min = 1;
    double max = 2;
    double num = 3;
    double sum = 4;
    double sum_squares = 5;
    repeated double bucket_limit = 6 [packed = true];
    repeated double bucket = 7 [packed = true];
  }
  message Value {
    string tag = 1;
    oneof value {
      float simple_value = 2;
      HistogramProto histo = 5;
    }
  }
  message Summary {
    repeated Value value = 1;
  }
  message Event {
    double wall_time = 1;
    int64 step = 2;
    oneof what {
      string file_version = 3;
      Summary summary = 5;
    }
  }
`;

// Lookups and messages are by the names above, without camel case.
const eventType = protobuf.parse(schema, { keepCase: true }).root.lookupType('Event');

export interface Histogram {
  readonly min: number;
  readonly max: number;
  readonly num: number;
  readonly sum: number;
  readonly sum_squares: number;
  /** Upper end of each bucket, increasing. */
  readonly bucket_limit: readonly number[];
  /** How many values each has. */
  readonly bucket: readonly number[];
}

export type SummaryValue = { readonly tag: string } & (
  { readonly simple_value: number } | { readonly histo: Histogram }
);

export interface EventMessage {
  /** Seconds since 1970. */
  readonly wall_time: number;
  readonly step?: number;
  readonly file_version?: string;
  readonly summary?: { readonly value: readonly SummaryValue[] };
}

/** What every event file begins with. */
export function fileVersion(wallTime: number): EventMessage {
  return { wall_time: wallTime, file_version: 'brain.Event:2' };
}

/** One record, ready to be appended to an event file. */
export function encodeEvent(event: EventMessage): Buffer {
  const message = eventType.encode(eventType.create({ ...event })).finish();
  const record = Buffer.alloc(message.length + 16);
  record.writeBigUInt64LE(BigInt(message.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(message, 12);
  record.writeUInt32LE(maskedCrc32c(message), 12 + message.length);
  return record;
}
