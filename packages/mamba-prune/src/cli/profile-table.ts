// Where time goes (`bench --profile`), as a table for each pass.
import type { PassProfile, ProfiledPart } from '../bench/profile-model.js';
import { milliseconds, percent, plural } from '../format.js';
import type { Context } from './context.js';

/** Parts below this share stand in one row together. */
const leastShare = 0.005;

export function printProfile(
  context: Context,
  { model, batch, pass, ms, parts }: PassProfile,
): void {
  const [shown, rest] = [true, false].map((isShown) =>
    parts.filter(({ share }) => share >= leastShare === isShown),
  ) as [ProfiledPart[], ProfiledPart[]];
  context.print();
  context.title(`Where ${milliseconds(ms)} of ${pass} go: ${model}, batch ${batch}`);
  context.print();
  const row = (
    name: string,
    phase: string,
    took: number,
    share: number,
    calls: number,
  ): string[] => [name, phase, milliseconds(took), percent(share, 1), String(Math.round(calls))];
  const sum = (of: (part: ProfiledPart) => number): number =>
    rest.reduce((total, part) => total + of(part), 0);
  context.table(
    [
      { title: 'part', flexible: true },
      { title: 'phase' },
      { title: 'time', align: 'right' },
      { title: 'share', align: 'right' },
      { title: 'calls', align: 'right' },
    ],
    [
      ...shown.map((part) => row(part.name, part.phase, part.ms, part.share, part.calls)),
      ...(rest.length > 0
        ? [
            row(
              plural(rest.length, 'smaller part'),
              '',
              sum((part) => part.ms),
              sum((part) => part.share),
              sum((part) => part.calls),
            ),
          ]
        : []),
    ],
  );
}
