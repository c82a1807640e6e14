// A family of one's own adds its options to those of all families: compiled in the empty project against the installed
// packages, and in the workspace against the sources.
import { createModel, importModel } from 'mamba-prune';
import type { ModelOptions, ReadingOptions } from 'mamba-prune/models';

declare module 'mamba-prune/models' {
  interface ModelOptions {
    readonly ownTokens?: number | undefined;
  }
  interface ReadingOptions {
    readonly ownNames?: 'short' | 'long' | undefined;
  }
}

export const options: ModelOptions = { ownTokens: 4, numClasses: 10 };
export const reading: ReadingOptions = { ownNames: 'short', headDim: 64 };
// Where options are taken, from whichever entry, they are the same.
export const make = () => createModel('own_tiny', { ownTokens: 4 });
export const read = () => importModel('own.pt', { ownTokens: 4, ownNames: 'long' });

// @ts-expect-error -- a number was declared
export const wrong: ModelOptions = { ownTokens: '4' };
// @ts-expect-error -- options that nobody declared are refused
export const unknown: ModelOptions = { ownTokes: 4 };
