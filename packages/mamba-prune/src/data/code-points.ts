/**
 * Order of texts by code points, as Python sorts names. Not localeCompare: labels must not depend on the
 * user's language. Not `<` either, which compares UTF-16: there an emoji comes before U+FF21.
 */
export function byCodePoint(a: string, b: string): number {
  const both = Math.min(a.length, b.length);
  for (let i = 0; i < both; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Halves of surrogate pairs stand for code points above all others. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
