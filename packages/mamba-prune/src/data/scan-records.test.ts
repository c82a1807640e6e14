import { describe, expect, it } from 'vitest';
import { scanRecords } from './scan-records.js';

const scan = (text: string, size = 2, capacity = 3) => {
  const out = new Uint8Array(size * capacity);
  return { ...scanRecords(Buffer.from(text), out, size, capacity), out: [...out] };
};

describe('scanRecords', () => {
  it('reads records, with or without white space', () => {
    const expected = { kept: 2, dropped: [], complete: true, out: [1, 255, 30, 0, 0, 0] };
    expect(scan('{"data":[[1,255],[30,0]]}')).toEqual(expected);
    expect(scan('{ "data" : [ [1, 255],\n [ 30,0 ] ] }')).toEqual(expected);
  });

  it('drops what is no record and says why', () => {
    const { kept, dropped, out } = scan(
      '{"data":[[],[1],[1,2,3],[1,256],[1,-2],[1.5,2],[1,"a"],[1,null],[1,,2],[7,8]]}',
    );
    expect(kept).toBe(1);
    expect(out).toEqual([7, 8, 0, 0, 0, 0]);
    expect(dropped).toEqual([
      'record 0 is empty',
      'record 1 has 1 values instead of 2',
      'record 2 has 3 values instead of 2',
      'record 3 has the value 256, more than 255',
      'record 4 has "-" among its values',
      'record 5 has "." among its values',
      'record 6 has """ among its values',
      'record 7 has "n" among its values',
      'record 8 has an entry that is no number',
    ]);
  });

  it('counts records for which there is no room', () => {
    expect(scan('{"data":[[1,2],[3,4],[5,6],[7,8]]}').kept).toBe(4);
  });

  it('sees that a text breaks off or is something else', () => {
    const whole = '{"data":[[1,2],[3,4]]';
    expect(scan(whole).complete).toBe(true);
    for (let length = 0; length < whole.length; length++) {
      expect(scan(whole.slice(0, length)).complete, whole.slice(0, length)).toBe(false);
    }
    expect(scan('{"data":{"a":1}}').complete).toBe(false);
    expect(scan('{"data":[1,2]}').complete).toBe(false);
  });
});
