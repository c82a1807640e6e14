// Settings that earlier versions wrote under another name: a run that began with them is gone on with.

interface Named {
  readonly arch: string;
  readonly model: object;
}

/** The model of the quickstart before it had a name of its own. */
const earlierQuick = { arch: 'mamba_nano', model: { patchSize: 7, dModel: 128, depth: 2 } };

/** The same settings with the names of today. */
export function withTodaysNames<T extends Named>(settings: T): T {
  const { arch, model } = settings;
  const sizes = model as Readonly<Record<string, unknown>>;
  const isQuick =
    arch === earlierQuick.arch &&
    Object.entries(earlierQuick.model).every(([name, value]) => sizes[name] === value);
  if (!isQuick) return settings;
  const others = Object.entries(sizes).filter(([name]) => !(name in earlierQuick.model));
  return { ...settings, arch: 'mamba_quick', model: Object.fromEntries(others) };
}

/** The same settings with the names of earlier versions. */
export function withEarlierNames<T extends Named>(settings: T): T {
  if (settings.arch !== 'mamba_quick') return settings;
  return {
    ...settings,
    arch: earlierQuick.arch,
    model: { ...settings.model, ...earlierQuick.model },
  };
}
