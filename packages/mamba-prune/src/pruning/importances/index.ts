// The functions of the built-in importances, one file each. What is said of them stands in ../importances.ts.
import type { BuiltInImportance, ImportanceFunction } from '../importances.js';
import { fisher } from './fisher.js';
import { l1 } from './l1.js';
import { l2 } from './l2.js';
import { obd } from './obd.js';
import { taylor } from './taylor.js';

export const importanceFunctions: Readonly<Record<BuiltInImportance, ImportanceFunction>> = {
  l1,
  l2,
  taylor,
  fisher,
  obd,
};
