// What the cuts of a comparison have that is not usual, each in a whole sentence.
import { grouped, plural } from '../../format.js';
import {
  defaultCompensationImages,
  defaultCompensationTarget,
} from '../../pruning/compensation/choices.js';
import { groupList } from '../../pruning/group-limits.js';
import { methodsOf } from './methods.js';
import { type CompareSettings, percentName } from './settings.js';

/** For tables. */
export const cutRemarks = (settings: CompareSettings): string[] => [
  ...groupsText(settings),
  ...limitsText(settings),
  ...afterTheCut(settings),
  ...rsstText(settings),
];

/** The groups that are not cut at the rates compared. */
function groupsText({ cut, budget }: CompareSettings): string[] {
  const entries = Object.entries(cut.rateOf ?? {});
  const rates = [...new Set(entries.map(([, rate]) => rate))].sort((a, b) => a - b);
  return rates.map((rate) => {
    const own = entries.filter((entry) => entry[1] === rate);
    const groups = groupList(own.map(([name]) => ({ name })));
    if (rate === 0) return `Every method leaves these groups whole: ${groups}.`;
    const whatever = budget === undefined ? 'rate' : 'budget';
    return `Whatever the ${whatever}, every method removes ${percentName(rate)}% of these groups: ${groups}.`;
  });
}

function limitsText({ cut }: CompareSettings): string[] {
  const { minWidth, rankBy } = cut;
  const least =
    typeof minWidth === 'number' ? plural(minWidth, 'unit') : `${minWidth ?? ''} of its units`;
  return [
    ...(minWidth === undefined ? [] : [`Every group keeps ${least} at least.`]),
    ...(rankBy === 'score-per-cost'
      ? ['Units are ranked by their score per what their removal saves.']
      : []),
  ];
}

function afterTheCut({ cut }: CompareSettings): string[] {
  const { compensate, bnBatches } = cut;
  const { target = defaultCompensationTarget, images = defaultCompensationImages } =
    compensate ?? {};
  return [
    ...(compensate
      ? [
          `At the cut the weights that read removed units make up for them (compensation ${target}, up to ${grouped(images)} images).`,
        ]
      : []),
    ...(bnBatches === undefined
      ? []
      : [
          bnBatches === 0
            ? 'Batch normalisation keeps its statistics at the cut.'
            : `Batch normalisation is measured again after the cut, over ${plural(bnBatches, 'batch', 'batches')}.`,
        ]),
  ];
}

/** When RSST chooses and cuts, where it does not do so once. */
function rsstText(settings: CompareSettings): string[] {
  if (!methodsOf(settings).includes('rsst')) return [];
  const { rechoose, cutAtZero = false, cuts = 1 } = settings.rsst;
  return [
    ...(rechoose == null
      ? []
      : [
          `RSST chooses the doomed units anew after every ${rechoose === 1 ? 'regularised epoch' : `${rechoose} regularised epochs`}.`,
        ]),
    ...(cutAtZero
      ? ['RSST cuts after the first regularised epoch that leaves all doomed units at zero.']
      : []),
    ...(cuts > 1
      ? [
          `RSST cuts ${cuts} times within its regularised epochs; its accuracies at the cut are those before the first and after the last.`,
        ]
      : []),
  ];
}
