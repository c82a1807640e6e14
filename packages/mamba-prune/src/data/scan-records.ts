/**
 * Reads `{"data": [[0, 9, ...], ...]}` straight into bytes. JSON.parse needs 60 MB of number arrays
 * for each 16 MB file and several times as long; pixels are all we want.
 */

const openBracket = 0x5b; // [
const closeBracket = 0x5d; // ]
const comma = 0x2c;
const zero = 0x30;
const space = 0x20;

/** A file with more bad records than this is no file of the data set; their list must not fill the memory. */
const maxDropped = 1000;

export interface ScannedRecords {
  /** Good records; those beyond the capacity of `out` are counted, not stored. */
  kept: number;
  /** Why others were left out: 'record 7 is empty'. */
  dropped: string[];
  /** False if the text breaks off or is not of this form. */
  complete: boolean;
}

/**
 * @param json - the file
 * @param out - takes `capacity` records of `size` bytes
 * @param size - values per record
 */
export function scanRecords(
  json: Uint8Array,
  out: Uint8Array,
  size: number,
  capacity: number,
): ScannedRecords {
  const dropped: string[] = [];
  let kept = 0;
  let at = json.indexOf(openBracket) + 1; // inside the outer list
  if (at === 0) return { kept, dropped, complete: false };
  for (let index = 0; ; index++) {
    while (at < json.length && isFiller(json[at] as number)) at++;
    if (json[at] === closeBracket) return { kept, dropped, complete: true };
    if (json[at] !== openBracket) return { kept, dropped, complete: false };
    at++;
    const base = kept < capacity ? kept * size : -1; // -1: no room, only count
    let values = 0;
    let value = -1; // -1: no digit yet
    let fault: string | undefined;
    for (; ; at++) {
      const byte = json[at];
      if (byte === undefined) return { kept, dropped, complete: false };
      const digit = byte - zero;
      if (digit >= 0 && digit <= 9) {
        value = (value < 0 ? 0 : value * 10) + digit;
      } else if (byte === comma || byte === closeBracket) {
        if (value > 255) fault ??= `has the value ${value}, more than 255`;
        if (value >= 0) {
          if (base >= 0 && values < size) out[base + values] = value;
          values++;
        } else if (byte === comma || values > 0) fault ??= 'has an entry that is no number';
        value = -1;
        if (byte === closeBracket) break;
      } else if (byte > space) {
        // A sign, a fraction, a string, a nested list: nothing a pixel can be.
        fault ??= `has "${String.fromCharCode(byte)}" among its values`;
      }
    }
    at++;
    if (values === 0) fault ??= 'is empty';
    else if (values !== size) fault ??= `has ${values} values instead of ${size}`;
    if (fault === undefined) kept++;
    else if (dropped.push(`record ${index} ${fault}`) > maxDropped) {
      return { kept, dropped, complete: false };
    }
  }
}

const isFiller = (byte: number): boolean => byte <= space || byte === comma;
