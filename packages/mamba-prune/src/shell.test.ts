import { describe, expect, it } from 'vitest';
import { shellCommand, wrapCommand } from './shell.js';

describe('a command over several lines', () => {
  const words = ['mamba-prune', 'train', '--from', 'runs/a b', '--lr', '5e-4', '--out', 'runs/c'];

  it('is the same command, broken before flags, within the width', () => {
    const command = wrapCommand(words, 34);
    expect(command).toBe(
      "mamba-prune train \\\n    --from 'runs/a b' --lr 5e-4 \\\n    --out runs/c",
    );
    expect(command.replaceAll(/ \\\n +/g, ' ')).toBe(shellCommand(words));
    for (const line of command.split('\n')) expect(line.length).toBeLessThanOrEqual(34);
  });

  it('has one line where it fits, and leaves whole what is too long by itself', () => {
    expect(wrapCommand(words, 80)).toBe(shellCommand(words));
    expect(wrapCommand(['x', '--out', 'a/long/path'], 10)).toBe('x \\\n    --out a/long/path');
  });
});
