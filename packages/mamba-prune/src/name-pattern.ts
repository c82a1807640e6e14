// Patterns of names, as flags take them for groups and for runs.

/**
 * `*` stands for any characters, dots and slashes too, and `?` for one. Takes time of at most name times pattern: a
 * regular expression would try all ways to share a name among many stars.
 */
export function matcherOf(pattern: string): (name: string) => boolean {
  const wanted = Array.from(pattern);
  return (name) => fits(Array.from(name), wanted);
}

function fits(name: readonly string[], wanted: readonly string[]): boolean {
  let at = 0;
  let i = 0;
  // The last star, and the first letter that it does not stand for: where nothing fits it takes one more.
  let star: { readonly at: number; readonly end: number } | undefined;
  while (i < name.length) {
    if (wanted[at] === '*') {
      star = { at, end: i };
      at++;
    } else if (at < wanted.length && (wanted[at] === '?' || wanted[at] === name[i])) {
      at++;
      i++;
    } else if (star) {
      star = { at: star.at, end: star.end + 1 };
      at = star.at + 1;
      i = star.end;
    } else return false;
  }
  return wanted.slice(at).every((letter) => letter === '*');
}
