// The rules of the scores, one file each. What is said of them stands in ../importances.ts.
import type { UnitScore } from '../importances.js';
import { activation } from './activation.js';
import { consumer } from './consumer.js';
import { group } from './group.js';
import type { SliceRule } from './slice-rule.js';

export const sliceRules: Readonly<Record<UnitScore, SliceRule>> = { consumer, group, activation };
