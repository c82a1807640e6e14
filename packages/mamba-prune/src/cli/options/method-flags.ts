/** Flags that one method has and the others ignore. `compare` offers some of them. */
export const methodFlags = {
  refill: ['fillback', 'refillScore', 'refillBudget'],
  rsst: [
    ...(['regEpochs', 'regSchedule', 'regStrength', 'exponents'] as const),
    ...(['regNorm', 'regUnits', 'regApply', 'nearZero', 'lrThrough', 'rechoose'] as const),
    ...(['cutAtZero', 'cuts', 'distillThrough'] as const),
  ],
} as const;

/** Why `refillScore` and `refillBudget` are refused where `fillback` is 0. */
export const ofFillback = 'belongs to --fillback above 0: no unit returns without it';
