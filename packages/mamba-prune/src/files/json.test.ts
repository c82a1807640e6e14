import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { eachTestsFolder } from '../training/testing/each-folder.js';
import { fitting, readJson } from './json.js';

const folder = eachTestsFolder();
const schema = z.object({ rate: z.number() });
const read = (path: string): unknown =>
  readJson(
    path,
    (json) => fitting(schema, json),
    (problem, cause) => new RangeError(`it is none: ${problem}. Write it anew.`, { cause }),
  );

describe('readJson', () => {
  it('gives what the file says', () => {
    const path = join(folder.path, 'a.json');
    writeFileSync(path, '{"rate": 0.5}');
    expect(read(path)).toEqual({ rate: 0.5 });
  });

  it.each([
    ['{"rate": "half"}', /^it is none: .*expected number.*rate\. Write it anew\.$/s],
    ['{"rate": 0.', /^it is none: [^.]*JSON.*[^.]\. Write it anew\.$/],
  ])('says what is wrong with %s', (text, words) => {
    const path = join(folder.path, 'a.json');
    writeFileSync(path, text);
    expect(() => read(path)).toThrow(RangeError);
    expect(() => read(path)).toThrow(words);
  });

  it('says that there is no such file, or something else in its place, with the cause', () => {
    const path = join(folder.path, 'a.json');
    expect(() => read(path)).toThrow(
      expect.objectContaining({ cause: expect.objectContaining({ code: 'ENOENT' }) as Error }),
    );
    mkdirSync(path);
    expect(() => read(path)).toThrow(/got a folder, expected a regular file\. Write it anew\.$/);
  });
});
