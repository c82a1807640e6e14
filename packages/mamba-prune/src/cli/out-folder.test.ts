import { describe, expect, it } from 'vitest';
import { checkFolderOf } from './out-folder.js';

describe('the folder of a file that is to be written', () => {
  it.each([
    ['EACCES', 'no permission (EACCES)'],
    ['EROFS', '(EROFS)'],
  ])('is refused in words where the system says %s', (code, words) => {
    const check = (): void => {
      throw Object.assign(new Error(`${code}: as the system says it, access '/x'`), { code });
    };
    const refused = (): void => {
      checkFolderOf('/x/model.onnx', check);
    };
    expect(refused).toThrow('--out: cannot write /x/model.onnx: ');
    expect(refused).toThrow(words);
    expect(refused).not.toThrow('access');
  });
});
