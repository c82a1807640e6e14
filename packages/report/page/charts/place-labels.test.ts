import { describe, expect, it } from 'vitest';
import { type Box, intersects, placeLabels, thinned } from './place-labels.js';
import { commonBeginning, shortened } from './text-width.js';

const bounds = { x: 48, y: 0, width: 900, height: 400 };
const radius = 6.5;

/** The same numbers every time, spread as chance would. */
function scattered(count: number, width: number, spread = 1) {
  let state = 12_345;
  const next = (): number => {
    state = (1_103_515_245 * state + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
  return Array.from({ length: count }, () => ({
    x: 60 + spread * 860 * next(),
    y: 20 + spread * 360 * next(),
    width,
    height: 15,
  }));
}

const discOf = ({ x, y }: { x: number; y: number }): Box => ({
  x: x - radius,
  y: y - radius,
  width: 2 * radius,
  height: 2 * radius,
});

describe('names of points', () => {
  it.each([
    [2, 260, 1],
    [20, 180, 1],
    [20, 260, 0.2],
    [100, 120, 1],
    [100, 260, 1],
    [100, 200, 0.05],
  ])('of %i points, %i px wide, spread over %d, cover nothing', (count, width, spread) => {
    const points = scattered(count, width, spread);
    const placed = placeLabels(points, { bounds, radius });
    expect(placed.length).toBeGreaterThanOrEqual(Math.min(count, 2));
    placed.forEach(({ box }, i) => {
      expect(placed.slice(i + 1).some((other) => intersects(box, other.box))).toBe(false);
      expect(points.some((point) => intersects(box, discOf(point)))).toBe(false);
      expect(box.x >= bounds.x && box.x + box.width <= bounds.x + bounds.width).toBe(true);
      expect(box.y >= bounds.y && box.y + box.height <= bounds.y + bounds.height).toBe(true);
    });
  });

  it('are all there while there is room, with lines to those that had to move', () => {
    const close = Array.from({ length: 8 }, (_, i) => ({
      x: 400,
      y: 200 + 4 * i,
      width: 90,
      height: 15,
    }));
    const placed = placeLabels(close, { bounds, radius });
    expect(placed).toHaveLength(8);
    const moved = placed.filter(({ leader }) => leader !== undefined);
    expect(moved.length).toBeGreaterThan(2);
    for (const { index, leader } of moved) {
      const [from] = leader ?? [];
      const point = close[index];
      expect(
        Math.hypot((from?.x ?? 0) - (point?.x ?? 0), (from?.y ?? 0) - (point?.y ?? 0)),
      ).toBeCloseTo(radius);
    }
  });

  it('go to the first points where there is not room for all', () => {
    const same = Array.from({ length: 50 }, () => ({ x: 400, y: 200, width: 260, height: 15 }));
    const indices = placeLabels(same, { bounds, radius }).map(({ index }) => index);
    expect(indices.length).toBeLessThan(50);
    expect(indices[0]).toBe(0);
    // Too wide for the whole picture.
    const wide = [{ x: 400, y: 200, width: 2000, height: 15 }];
    expect(placeLabels(wide, { bounds, radius })).toEqual([]);
  });
});

describe('labels side by side', () => {
  it('are left out so that the others have room', () => {
    const labels = ['a', 'b', 'c', 'd', 'e'];
    const widths = [10, 30, 10, 10, 10];
    expect(thinned(labels, widths, 40)).toEqual(labels);
    expect(thinned(labels, widths, 20)).toEqual(['a', 'c', 'e']);
    expect(thinned(labels, widths, 1)).toEqual(['a']);
    expect(thinned([], [], 0)).toEqual([]);
  });

  it('have the words in common that they begin with', () => {
    expect(commonBeginning(['a-b-rsst/1', 'a-b-refill/1'])).toBe('a-b-');
    expect(commonBeginning(['abc', 'abd'])).toBe('');
    expect(commonBeginning(['a-b'])).toBe('');
    expect(commonBeginning(['runs/a', 'runs/a/b'])).toBe('runs/');
  });

  it('keep beginning and end where they are cut', () => {
    const letters = (text: string): number => text.length;
    expect(shortened('a/long/name', 20, letters)).toBe('a/long/name');
    expect(shortened('imagenet-resnet50-rsst/seed-3', 13, letters)).toBe('imagen…seed-3');
    expect(shortened('abcdef', 1, letters)).toBe('…');
  });
});
