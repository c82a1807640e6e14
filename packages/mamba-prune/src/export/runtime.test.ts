import { afterEach, describe, expect, it, vi } from 'vitest';

afterEach(() => {
  vi.doUnmock('onnxruntime-node');
  vi.resetModules();
});

describe('loadRuntime', () => {
  it('says how to install onnxruntime-node where it is missing', async () => {
    vi.doMock('onnxruntime-node', () => {
      throw new Error("Cannot find package 'onnxruntime-node'");
    });
    const { loadRuntime } = await import('./runtime.js');
    await expect(loadRuntime()).rejects.toThrow(
      /cannot load onnxruntime-node, .*: ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node$/,
    );
  });
});
