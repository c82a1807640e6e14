import { describe, expect, it } from 'vitest';
import { HubError } from '../hub/errors.js';
import { InterruptedError } from './context.js';
import { interruptedDownload } from './transfer-progress.js';

const resume = 'mamba-prune inspect hf:lab/vim';
const failing = async (error: unknown, signal: AbortSignal): Promise<unknown> =>
  interruptedDownload(signal, resume, () => Promise.reject(error as Error)).catch(
    (thrown: unknown) => thrown,
  );

describe('a download that was stopped', () => {
  it('says how far it came and which command goes on', async () => {
    const message = 'lab/vim: x.safetensors was stopped after 1000 bytes.';
    const error = await failing(new HubError(message), AbortSignal.abort());
    expect(error).toBeInstanceOf(InterruptedError);
    expect(error).toMatchObject({ message, resume });
  });

  it('leaves other failures as they are, and reasons without words to whoever hears signals', async () => {
    const failure = new HubError('no such file');
    expect(await failing(failure, new AbortController().signal)).toBe(failure);
    expect(await failing('SIGINT', AbortSignal.abort('SIGINT'))).toBe('SIGINT');
    const bare = AbortSignal.abort();
    expect(await failing(bare.reason, bare)).toBe(bare.reason);
  });
});
