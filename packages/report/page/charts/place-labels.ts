// Where the names of points stand, so that none covers another one or a point. Computes alone: no page is needed.

/** In pixels; y grows downwards. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A point that may have a name. */
export interface NamedPoint extends Point {
  /** Of its name. */
  readonly width: number;
  readonly height: number;
}

export interface PlacedLabel {
  /** Of the point. */
  readonly index: number;
  readonly box: Box;
  /** From the point to a name that stands further away. */
  readonly leader: readonly [Point, Point] | undefined;
}

interface PlaceOptions {
  /** That the names stay within. */
  readonly bounds: Box;
  /** Of every point. */
  readonly radius: number;
}

/** Free room around every name. */
const gap = 3;
/** How far from its point a name may stand, in pixels; nearer ones need no leader. */
const rings = [16, 26, 38, 52, 70, 92, 120];
const directions = Array.from({ length: 16 }, (_, i) => (2 * Math.PI * i) / 16);

export const intersects = (a: Box, b: Box, room = 0): boolean =>
  a.x < b.x + b.width + room &&
  b.x < a.x + a.width + room &&
  a.y < b.y + b.height + room &&
  b.y < a.y + a.height + room;

/**
 * Places names in the order of the points: of two that want the same place the first has it. One without a free place is
 * left out, which is better than two that nobody can read.
 */
export function placeLabels(
  points: readonly NamedPoint[],
  { bounds, radius }: PlaceOptions,
): PlacedLabel[] {
  const discs = points.map(({ x, y }): Box => discOf(x, y, radius));
  const placed: PlacedLabel[] = [];
  points.forEach((point, index) => {
    for (const { box, leader } of candidates(point, radius)) {
      if (!isInside(box, bounds) || discs.some((disc) => intersects(box, disc, 1))) continue;
      if (placed.some((other) => isInTheWay(other, box, leader))) continue;
      placed.push({ index, box, leader });
      return;
    }
  });
  return placed;
}

const discOf = (x: number, y: number, radius: number): Box => ({
  x: x - radius,
  y: y - radius,
  width: 2 * radius,
  height: 2 * radius,
});

function isInTheWay(other: PlacedLabel, box: Box, leader: PlacedLabel['leader']): boolean {
  if (intersects(other.box, box, gap)) return true;
  if (leader && crossesBox(leader, other.box)) return true;
  if (other.leader && crossesBox(other.leader, box)) return true;
  return leader !== undefined && other.leader !== undefined && crosses(leader, other.leader);
}

/** The nearest places first: beside the point, and then further and further away. */
function* candidates(
  { x, y, width, height }: NamedPoint,
  radius: number,
): Generator<Omit<PlacedLabel, 'index'>> {
  const near = radius + gap;
  const [middle, above, below] = [y - height / 2, y - near - height, y + near];
  const [left, right, centred] = [x - near - width, x + near, x - width / 2];
  for (const [atX, atY] of [
    [centred, above],
    [right, middle],
    [left, middle],
    [centred, below],
    [right, above],
    [left, above],
    [right, below],
    [left, below],
  ] as const) {
    yield { box: { x: atX, y: atY, width, height }, leader: undefined };
  }
  for (const ring of rings) {
    for (const angle of directions) {
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const end = { x: x + (radius + ring) * cos, y: y - (radius + ring) * sin };
      const box = {
        x: end.x - (Math.abs(cos) < 0.3 ? width / 2 : cos > 0 ? 0 : width),
        y: end.y - (Math.abs(sin) < 0.3 ? height / 2 : sin > 0 ? height : 0),
        width,
        height,
      };
      const start = { x: x + radius * cos, y: y - radius * sin };
      yield { box, leader: [start, end] };
    }
  }
}

const isInside = (box: Box, bounds: Box): boolean =>
  box.x >= bounds.x &&
  box.y >= bounds.y &&
  box.x + box.width <= bounds.x + bounds.width &&
  box.y + box.height <= bounds.y + bounds.height;

type Segment = readonly [Point, Point];

function crossesBox([a, b]: Segment, { x, y, width, height }: Box): boolean {
  const corners = [
    { x, y },
    { x: x + width, y },
    { x: x + width, y: y + height },
    { x, y: y + height },
  ];
  const isWithin = (point: Point): boolean =>
    point.x > x && point.x < x + width && point.y > y && point.y < y + height;
  if (isWithin(a) || isWithin(b)) return true;
  return corners.some((corner, i) => crosses([a, b], [corner, corners[(i + 1) % 4] ?? corner]));
}

function crosses([a, b]: Segment, [c, d]: Segment): boolean {
  const side = (p: Point, q: Point, r: Point): number =>
    Math.sign((q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x));
  return side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b);
}

/**
 * Every n-th of labels that stand side by side, the first one always, so that none touches the next.
 * @param widths - of the labels, in pixels
 * @param room - from the middle of one to the middle of the next
 */
export function thinned<T>(
  labels: readonly T[],
  widths: readonly number[],
  room: number,
): readonly T[] {
  const widest = Math.max(0, ...widths) + 2 * gap;
  const every = Math.max(1, Math.ceil(widest / room));
  return labels.filter((_, i) => i % every === 0);
}
