import { describe, expect, it } from 'vitest';
import { crc32c, maskedCrc32c } from './crc32c.js';
import { encodeEvent, fileVersion } from './event-file.js';
import { readEvents } from './testing/read-events.js';

describe('crc32c', () => {
  it('gives the values of RFC 3720, appendix B.4, and the usual check value', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  it('is masked as TensorFlow does it', () => {
    // By hand: 0xe3069283 rotated right by 15 is 0x2507c60d; plus 0xa282ead8.
    expect(maskedCrc32c(Buffer.from('123456789'))).toBe(0xc78ab0e5);
  });
});

describe('encodeEvent', () => {
  it('frames the message with its length and two checksums', () => {
    const record = encodeEvent(fileVersion(1.5));
    // Field 1, a double; field 3, a text of 13 bytes.
    const message = Buffer.concat([
      Buffer.from([0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x1a, 13]),
      Buffer.from('brain.Event:2'),
    ]);
    expect(record.subarray(12, -4)).toEqual(message);
    expect(record.readBigUInt64LE(0)).toBe(24n);
    expect(record.readUInt32LE(8)).toBe(maskedCrc32c(record.subarray(0, 8)));
    expect(record.readUInt32LE(36)).toBe(maskedCrc32c(message));
    expect(record).toHaveLength(40);
  });

  it('writes scalars, histograms and large steps', () => {
    const histo = {
      min: 0.25,
      max: 2,
      num: 3,
      sum: 4,
      sum_squares: 6,
      bucket_limit: [1, 2],
      bucket: [1, 2],
    };
    const value = [
      { tag: 'train/loss', simple_value: 0.5 },
      // Zeros are left out of protobuf messages, but not where they say which kind of value it is.
      { tag: 'zero', simple_value: 0 },
      { tag: 'norms', histo },
    ];
    const step = 2 ** 40 + 1;
    const [event] = readEvents(encodeEvent({ wall_time: 12.25, step, summary: { value } }));
    expect(event).toMatchObject({ wallTime: 12.25, summary: { value } });
    expect(event?.step).toBe(step);
  });
});
