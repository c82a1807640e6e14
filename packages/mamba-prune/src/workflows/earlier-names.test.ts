import { describe, expect, it } from 'vitest';
import { withEarlierNames, withTodaysNames } from './earlier-names.js';
import { quickstartPreset } from './quickstart.js';

const earlier = {
  ...quickstartPreset.train,
  arch: 'mamba_nano',
  model: { patchSize: 7, dModel: 128, depth: 2 },
};

describe('the settings of a quickstart of an earlier version', () => {
  it('are those of today under another name', () => {
    expect(withTodaysNames(earlier)).toEqual(quickstartPreset.train);
    expect(withEarlierNames(quickstartPreset.train)).toEqual(earlier);
    const wider = { ...earlier, model: { ...earlier.model, dState: 4 } };
    expect(withTodaysNames(wider)).toMatchObject({ arch: 'mamba_quick', model: { dState: 4 } });
  });

  it('are not taken for those of another model', () => {
    const others = [
      { arch: 'mamba_nano', model: {} },
      { arch: 'mamba_nano', model: { patchSize: 7, dModel: 64, depth: 2 } },
      { arch: 'mamba_tiny', model: earlier.model },
    ];
    for (const other of others) {
      expect(withTodaysNames(other)).toEqual(other);
      expect(withEarlierNames(other)).toEqual(other);
    }
  });
});
