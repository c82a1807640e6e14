// Which of several state dicts is meant.
import { quoted } from '../safetensors/header.js';

/** Where training scripts put the weights, most specific first. */
const usualKeys = [
  'state_dict',
  'model_state_dict',
  'model_state',
  'model',
  'net',
  'network',
  'module',
  'weights',
  'params',
];

const averagedName = /(?:^|[._])(?:ema|swa|avg|averaged?)(?:[._]|$)/i;
const lastName =
  /(?:^|[._])(?:teacher|momentum|target|encoder_k|discriminator|loss|criterion)(?:[._]|$)/i;

/**
 * How usual it is that the weights lie at a key, 0 first. An average of the weights comes before the weights
 * themselves, as in timm's `load_state_dict`; then the usual keys, then what lies at the top, then all others;
 * teachers, momentum encoders and losses come last.
 *
 * @param key - with points, '' for the top
 */
export function rankOf(key: string): number {
  if (key === '') return 2;
  if (lastName.test(key)) return 4;
  if (averagedName.test(key)) return 0;
  const places = key.split('.').map((step) => usualKeys.indexOf(step));
  const place = Math.min(...places.filter((at) => at >= 0));
  return Number.isFinite(place) ? 1 + place / usualKeys.length : 3;
}

/** Sorts by `rankOf`; equals stay in the order of the file. */
export function inUsualOrder<T extends { readonly key: string }>(dicts: readonly T[]): T[] {
  return [...dicts].sort((a, b) => rankOf(a.key) - rankOf(b.key));
}

/** Keys in a message. */
export function keyList(keys: readonly string[]): string {
  const shown = keys.slice(0, 12).map((key) => (key === '' ? 'the top of the file' : quoted(key)));
  return shown.join(', ') + (keys.length > 12 ? ', ...' : '') || '(none)';
}
