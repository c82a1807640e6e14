// Options that earlier versions spelt otherwise: they are read as today's, and nothing writes them. Loads no native code.

type Renamed = Readonly<Record<string, string>>;

/** By what an option is called today: values that it had. */
const earlierValues: Readonly<Record<string, Renamed>> = {
  score: { out_proj: 'consumer' },
  ranking: { layerwise: 'layer' },
};

/** Options of a cut: what ranks which units. */
const earlierCut: Renamed = { scope: 'ranking' };

/** Of RSST. */
const earlierStrength: Renamed = { base: 'strength' };

/** What a value of the option `name` is today. */
export const todaysValue = (name: string, value: string): string =>
  earlierValues[name]?.[value] ?? value;

/** Options of a cut in today's names; anything else as it is. */
export const todaysCut = <T>(options: T): T => renamed(options, earlierCut);

/** Options of RSST in today's names; anything else as it is. */
export const todaysStrength = <T>(options: T): T => renamed(options, earlierStrength);

/**
 * With today's names of options and values. The object itself where it has them already.
 * @param names - from earlier ones to today's; one that is given under both is left for the checks to refuse
 */
export function renamed<T>(options: T, names: Renamed): T {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return options;
  const given = Object.entries(options);
  const entries = given.map(([name, value]: [string, unknown]): [string, unknown] => {
    const wanted = names[name] ?? name;
    const today = wanted in options ? name : wanted;
    return [today, typeof value === 'string' ? todaysValue(today, value) : value];
  });
  const isToday = entries.every(
    ([name, value], i) => name === given[i]?.[0] && Object.is(value, given[i][1]),
  );
  return isToday ? options : (Object.fromEntries(entries) as T);
}
