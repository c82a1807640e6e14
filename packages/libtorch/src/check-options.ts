// Options by name, as they come from JavaScript, where nobody checks types: a misspelt name, a number in place of the
// object or a string in place of a number would be passed over, and something else computed than was asked for.

const kinds = {
  number: 'a number',
  boolean: 'true or false',
  string: 'a string',
  function: 'a function',
  array: 'an array',
  object: 'an object',
  null: 'null',
} as const;

type Kind = keyof typeof kinds;

/** What an option may be; `any` is left to whoever reads it. */
export type OptionKind = Kind | 'any' | readonly Kind[];

/** The kind of every option of an interface. */
export type OptionKinds<T> = Readonly<Record<keyof T & string, OptionKind>>;

/** Makes the error of a message: of the type that the caller's package throws. */
export type Failure = (message: string) => Error;

const typeError: Failure = (message) => new TypeError(message);

function kindOf(value: unknown): Kind | 'undefined' | 'bigint' | 'symbol' {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function described(value: unknown): string {
  const kind = kindOf(value);
  if (kind === 'string') return `the string '${value as string}'`;
  if (kind === 'number' || kind === 'boolean') return `the ${kind} ${String(value)}`;
  if (kind !== 'object')
    return kind === 'null' || kind === 'undefined' ? kind : `a value of type ${kind}`;
  const name = (value as object).constructor.name;
  return name === 'Object' ? 'an object' : `an object of type ${name}`;
}

/** Whether it was written as { ... }, in whatever context: no tensor, array or map. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Refuses options that would be passed over in silence. Values are looked at no further than their kind; one that is
 * undefined counts as not given, as do options that are undefined themselves.
 *
 * @param where - the function's name, with which messages begin
 * @param fail - makes the error. Default: a TypeError.
 */
export function checkOptions(
  where: string,
  options: unknown,
  known: Readonly<Record<string, OptionKind>>,
  fail: Failure = typeError,
): void {
  if (options === undefined) return;
  const names = (): string =>
    Object.keys(known)
      .map((name) => `\`${name}\``)
      .join(', ');
  if (!isPlain(options)) {
    const [first = ''] = Object.keys(known);
    throw fail(
      `${where}: got ${described(options)} in place of the options, expected an object such as { ${first}: ... }. ` +
        `It may have ${names()}.`,
    );
  }
  for (const name of Object.keys(options)) {
    const value = options[name];
    if (value === undefined) continue;
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) {
      throw fail(`${where}: got the option \`${name}\`, expected some of ${names()}.`);
    }
    if (kind === 'any') continue;
    const allowed = typeof kind === 'string' ? [kind] : kind;
    if (allowed.some((one) => one === kindOf(value))) continue;
    const wanted = allowed.map((one) => kinds[one]).join(' or ');
    throw fail(`${where}: ${name}: got ${described(value)}, expected ${wanted}.`);
  }
}
