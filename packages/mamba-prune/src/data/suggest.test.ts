import { describe, expect, it } from 'vitest';
import { didYouMean, editDistance } from './suggest.js';

describe('editDistance', () => {
  it('counts changed, added and left-out letters', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('', 'abc')).toBe(3);
    expect(editDistance('same', 'same')).toBe(0);
  });
});

describe('didYouMean', () => {
  const known = ['fashion-mnist', 'cifar10', 'cifar100', 'imagenet', 'tiny-imagenet'];
  it('puts the nearest name first and ignores punctuation and case', () => {
    expect(didYouMean('CIFAR-10', known)).toEqual(['cifar10', 'cifar100']);
    expect(didYouMean('fasion_mnist', known)).toEqual(['fashion-mnist']);
    expect(didYouMean('tinyimagenet', known)).toEqual(['tiny-imagenet', 'imagenet']);
  });
  it('stays silent if nothing is near', () => {
    expect(didYouMean('svhn', known)).toEqual([]);
    expect(didYouMean('', known)).toEqual([]);
  });
});
