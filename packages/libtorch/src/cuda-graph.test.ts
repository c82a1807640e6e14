import { describe, expect, it } from 'vitest';
import { CudaGraph, TorchError } from './index.js';

function backend() {
  const log: string[] = [];
  return {
    log,
    graphCapture: (device: string, work: () => void) => {
      log.push(`capture ${device}`);
      work();
      return 7;
    },
    graphReplay: (id: number) => log.push(`replay ${id}`),
    graphDispose: (id: number) => log.push(`dispose ${id}`),
  };
}

describe('CudaGraph', () => {
  it('captures once, replays, and is disposed once', () => {
    const fake = backend();
    const graph = CudaGraph.capture('cuda:1', () => fake.log.push('work'), fake);
    graph.replay();
    graph.replay();
    graph.dispose();
    graph.dispose();
    expect(fake.log).toEqual(['capture cuda:1', 'work', 'replay 7', 'replay 7', 'dispose 7']);
    expect(() => {
      graph.replay();
    }).toThrow('the graph was disposed. Capture it again.');
  });

  it('is not supported on the CPU, and says what to do there', () => {
    expect(CudaGraph.isSupported('cpu')).toBe(false);
    expect(() => CudaGraph.capture('cpu', () => undefined)).toThrow(
      'got the device cpu, expected a GPU and an addon that was built with CUDA. Run the work as it is.',
    );
  });

  it('throws what kept the capture from ending', () => {
    const failing = () => {
      throw new Error('operation not permitted when stream is capturing');
    };
    const capture = () => CudaGraph.capture('cuda:0', failing, backend());
    expect(capture).toThrow(TorchError);
    expect(capture).toThrow('operation not permitted');
  });
});
