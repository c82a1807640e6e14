/** Reading files of JSON that a program wrote, and anybody may have changed since. */
import { readTextFile } from '@mamba-prune/libtorch/files';
import { z } from 'zod';

/**
 * What a file of JSON says.
 * @param parse - makes something of the value; what it throws is the problem
 * @param fail - makes the error of a problem, which has no full stop: no such file, no JSON, another form
 */
export function readJson<T>(
  path: string,
  parse: (json: unknown) => T,
  fail: (problem: string, cause: unknown) => Error,
): T {
  try {
    return parse(JSON.parse(readTextFile(path)));
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw fail(problem.replace(/\.$/, ''), error);
  }
}

/** A value that has the form of a schema. @throws Error that lists where it has another one */
export function fitting<T>(schema: z.ZodType<T>, json: unknown): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new Error(z.prettifyError(parsed.error));
}
