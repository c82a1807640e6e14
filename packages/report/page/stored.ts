// A choice that the browser remembers.
import { useState } from 'preact/hooks';

export function useStored<T extends string>(name: string, first: T): [T, (value: T) => void] {
  const key = `mamba-prune.${name}`;
  const [value, set] = useState<T>(() => (read(key) as T | null) ?? first);
  return [
    value,
    (next) => {
      set(next);
      try {
        localStorage.setItem(key, next);
      } catch {
        // Forbidden in some private windows: then it lasts as long as the page.
      }
    },
  ];
}

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
