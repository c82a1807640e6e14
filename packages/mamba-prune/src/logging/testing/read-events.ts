/** Reads event files back, with a schema and checks of its own. */
import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import { maskedCrc32c } from '../crc32c.js';

// Numbers and types of the fields as TensorBoard 2.21 has them, under names that we do not write.
const root = protobuf.Root.fromJSON({
  nested: {
    Histogram: {
      fields: {
        min: { id: 1, type: 'double' },
        max: { id: 2, type: 'double' },
        num: { id: 3, type: 'double' },
        sum: { id: 4, type: 'double' },
        sum_squares: { id: 5, type: 'double' },
        bucket_limit: { rule: 'repeated', id: 6, type: 'double' },
        bucket: { rule: 'repeated', id: 7, type: 'double' },
      },
    },
    Entry: {
      oneofs: { kind: { oneof: ['simple_value', 'histo'] } },
      fields: {
        tag: { id: 1, type: 'string' },
        simple_value: { id: 2, type: 'float' },
        histo: { id: 5, type: 'Histogram' },
      },
    },
    Entries: { fields: { value: { rule: 'repeated', id: 1, type: 'Entry' } } },
    Record: {
      fields: {
        wallTime: { id: 1, type: 'double' },
        step: { id: 2, type: 'int64' },
        fileVersion: { id: 3, type: 'string' },
        summary: { id: 5, type: 'Entries' },
      },
    },
  },
});

export interface ReadHistogram {
  min: number;
  max: number;
  num: number;
  sum: number;
  bucket_limit: number[];
  bucket: number[];
}

export interface ReadEvent {
  wallTime: number;
  step?: number | string;
  fileVersion?: string;
  summary?: { value: { tag: string; simple_value?: number; histo?: ReadHistogram }[] };
}

/** @throws Error if a checksum is wrong, or the last record is not whole */
export function readEvents(bytes: Buffer): ReadEvent[] {
  const events: ReadEvent[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    const message = bytes.subarray(at + 12, at + 12 + length);
    if (bytes.readUInt32LE(at + 8) !== maskedCrc32c(bytes.subarray(at, at + 8))) {
      throw new Error(`the checksum of the length at byte ${at} is wrong`);
    }
    if (bytes.readUInt32LE(at + 12 + length) !== maskedCrc32c(message)) {
      throw new Error(`the checksum of the record at byte ${at} is wrong`);
    }
    const type = root.lookupType('Record');
    events.push(type.toObject(type.decode(message), { longs: Number }) as ReadEvent);
    at += length + 16;
  }
  return events;
}

/** Value by `tag@step`. */
export function readScalars(path: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const { step, summary } of readEvents(readFileSync(path))) {
    for (const { tag, simple_value: value } of summary?.value ?? []) {
      if (value !== undefined) found.set(`${tag}@${step}`, value);
    }
  }
  return found;
}
