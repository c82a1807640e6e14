// Whose model a config.json describes, and what it says that no shape of the weights tells: functions, strides and
// poolings without parameters. Weights run without them give other results, and no error.
import { families } from '../families.js';
import type { Family } from '../family.js';
import { type FamilyCard, cardEntries, cardName } from './card.js';

/** What no model here computes. */
export interface CardObstacle {
  /** Of the models that it is about; the config.json beside weights of another family is not theirs. */
  readonly family: Family;
  /** Behind 'a ResNet with', with the entry that says so. */
  readonly what: string;
}

/** The family that a config.json describes, as far as its names tell. */
function cardFamily(json: unknown): Family | undefined {
  const card = cardEntries(json);
  const name = card && cardName(card);
  if (name === undefined) return undefined;
  return families().find(({ layout }) => layout?.card?.names.test(name) === true);
}

/** @param json - of config.json; anything else than expected says nothing */
export function cardObstacles(json: unknown): CardObstacle[] {
  const family = cardFamily(json);
  const card = cardEntries(json);
  if (!family || !card) return [];
  return (family.layout?.card?.obstacles(card) ?? []).map((what) => ({ family, what }));
}

/**
 * What the name of a file says of the model in it, as timm names the files of its weights.
 * @param family - of the model that was read
 */
export function nameObstacles(file: string, family: Family): CardObstacle[] {
  const entries = cardEntries({ architecture: file.replace(/\.\w+$/, '') });
  const obstacles = entries && family.layout?.card?.obstacles(entries);
  return (obstacles ?? []).map((what) => ({ family, what }));
}

/**
 * What the entries say of options that no shape tells.
 * @param arch - what `archOfCard` found
 */
export function cardHints(
  json: unknown,
  arch: string | undefined,
): ReturnType<NonNullable<FamilyCard['hints']>> {
  const card = cardEntries(json);
  return (card && cardFamily(json)?.layout?.card?.hints?.(card, arch)) ?? {};
}

/** `vit_tiny_patch16_224`, `deit_small_patch16_224` and `resnet18` under our names; undefined for others. */
export function archOfCard(architecture: string): string | undefined {
  const name = architecture.replace(/_patch\d+.*$/, '');
  for (const { architectures, layout } of families()) {
    const own = layout?.card?.architecture?.(name) ?? name;
    if (Object.hasOwn(architectures, own)) return own;
  }
  return undefined;
}
