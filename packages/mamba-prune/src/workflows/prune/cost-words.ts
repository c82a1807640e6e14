// Amounts of a budget as people read them.
import { bytes, count, milliseconds } from '../../format.js';
import type { BudgetKey } from './cost-budget-settings.js';

/** `3.00 M MACs`, `1.50 M parameters`, `a file of 4.77 MiB`, `a latency of 2.00 ms` */
export function amountInWords(of: BudgetKey, amount: number): string {
  switch (of) {
    case 'macs':
      return `${count(amount)} MACs`;
    case 'params':
      return `${count(amount)} parameters`;
    case 'file':
      return `a file of ${bytes(Math.round(amount))}`;
    case 'latency':
      return `a latency of ${milliseconds(amount)}`;
  }
}
