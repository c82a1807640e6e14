// What stands for several measurements.

/** With two in the middle, their mean. */
export function median(list) {
  const [low, high] = [(list.length - 1) >> 1, list.length >> 1];
  const inOrder = [...list].sort((a, b) => a - b);
  return (inOrder[low] + inOrder[high]) / 2;
}
