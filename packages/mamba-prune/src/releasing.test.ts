import { describe, expect, it } from 'vitest';
import { readingOff, releasing } from './releasing.js';

const freed: string[] = [];
const model = (name: string) => ({ name, dispose: () => void freed.push(name) });
const session = (name: string, error?: Error) => ({
  name,
  release: () => {
    freed.push(name);
    return error ? Promise.reject(error) : Promise.resolve();
  },
});

describe('readingOff', () => {
  it('frees the model when it is read, also where that fails', () => {
    freed.length = 0;
    expect(readingOff(model('a'), ({ name }) => `${name}${freed.length}`)).toBe('a0');
    const failing = () =>
      readingOff(model('b'), () => {
        throw new Error('unread');
      });
    expect(failing).toThrow('unread');
    expect(freed).toEqual(['a', 'b']);
  });
});

describe('releasing', () => {
  it('gives what is kept back, and frees it when all is done, the last first', async () => {
    freed.length = 0;
    const result = await releasing(async (keep) => {
      const names = [keep(model('a')).name, keep(session('b')).name];
      await Promise.resolve();
      expect(freed).toEqual([]);
      return names;
    });
    expect(result).toEqual(['a', 'b']);
    expect(freed).toEqual(['b', 'a']);
  });

  it('frees what was open before something that cannot be opened', async () => {
    freed.length = 0;
    const opening = releasing(async (keep) => {
      keep(model('a'));
      keep(session('b'));
      await Promise.reject(new Error('no model'));
    });
    await expect(opening).rejects.toThrow('no model');
    expect(freed).toEqual(['b', 'a']);
  });

  it('frees the others where one cannot be freed, and says so unless there is more to say', async () => {
    freed.length = 0;
    const all = (error?: Error) =>
      releasing((keep) => {
        keep(model('a'));
        keep(session('b', new Error('stuck')));
        keep(model('c'));
        return error ? Promise.reject(error) : Promise.resolve();
      });
    await expect(all()).rejects.toThrow('stuck');
    expect(freed).toEqual(['c', 'b', 'a']);
    await expect(all(new Error('before'))).rejects.toThrow('before');
    expect(freed).toHaveLength(6);
  });
});
