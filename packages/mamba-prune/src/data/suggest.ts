/** Levenshtein distance: how many letters to change, add or leave out. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}

/** The known names that a mistyped one may have meant, nearest first; punctuation does not count. */
export function didYouMean(name: string, known: readonly string[]): string[] {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  const wanted = plain(name);
  if (wanted === '') return [];
  return known
    .map((candidate) => {
      const other = plain(candidate);
      const contained = other.includes(wanted) || wanted.includes(other);
      return { candidate, distance: editDistance(wanted, other), contained };
    })
    .filter(({ candidate, distance, contained }) => contained || distance <= candidate.length / 3)
    .sort((a, b) => a.distance - b.distance)
    .map(({ candidate }) => candidate);
}
