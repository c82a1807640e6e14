// Texts of numpy: characters of a fixed number, filled up with zeros, which are no part of the value.

/** Bytes of a character. */
export const characterBytes = 4;

/** Of type `S`. */
export function trimmed(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return new Uint8Array(bytes.subarray(0, end));
}

/** Of type `U`, UTF-32. */
export function numpyText(view: DataView, little: boolean): string {
  let end = view.byteLength - (view.byteLength % characterBytes);
  while (end > 0 && view.getUint32(end - characterBytes) === 0) end -= characterBytes;
  let result = '';
  for (let at = 0; at < end; at += characterBytes) {
    const code = view.getUint32(at, little);
    result += code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  }
  return result;
}
