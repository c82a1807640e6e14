// Work on a GPU that is recorded once and launched as a whole.
import { TorchError } from './errors.js';
import { native } from './native.js';

/** What `CudaGraph` needs of the addon; a test gives its own. */
export interface GraphBackend {
  graphCapture?(device: string, work: () => void): number;
  graphReplay?(id: number): void;
  graphDispose?(id: number): void;
}

/**
 * Work on a GPU, recorded once and then given to it as one: the kernels of a training step take less
 * time to run than to start one by one.
 *
 * What is recorded are kernels with their addresses. So a replay reads and writes the tensors that were
 * there at the capture, wherever they come from; values that JavaScript computed in between are
 * constants of it. Tensors made inside live in the graph's own memory: those that are read afterwards
 * must be kept (`keep`, or returned from the scope), and each replay overwrites them.
 */
export class CudaGraph {
  #id: number | undefined;
  readonly #backend: GraphBackend;

  private constructor(id: number, backend: GraphBackend) {
    this.#backend = backend;
    this.#id = id;
  }

  /** Whether this addon can capture graphs on a device. */
  static isSupported(device: string, backend: GraphBackend = native): boolean {
    const isPossible = device.startsWith('cuda') || backend !== native;
    return isPossible && backend.graphCapture !== undefined;
  }

  /**
   * Records what `work` starts; nothing of it is run. It must not read a value of the device, wait for
   * it, or take memory from anywhere but libtorch.
   *
   * @param device - such as `cuda:0`
   * @throws TorchError if it did, or if the addon cannot capture there; nothing is left of it then
   */
  static capture(device: string, work: () => void, backend: GraphBackend = native): CudaGraph {
    if (!CudaGraph.isSupported(device, backend) || !backend.graphCapture) {
      throw new TorchError(
        'CudaGraph.capture',
        `got the device ${device}, expected a GPU and an addon that was built with CUDA. Run the work as it is.`,
      );
    }
    try {
      return new CudaGraph(backend.graphCapture(device, work), backend);
    } catch (error) {
      throw new TorchError('CudaGraph.capture', (error as Error).message, { cause: error });
    }
  }

  /** As `capture`, for work that can be done without a graph: @returns the graph, or why there is none. */
  static attempt(
    device: string,
    work: () => void,
    backend: GraphBackend = native,
  ): CudaGraph | string {
    const obstacle = CudaGraph.obstacle(device, backend);
    if (obstacle !== undefined) return obstacle;
    try {
      return CudaGraph.capture(device, work, backend);
    } catch (error) {
      return `the capture failed: ${(error as Error).message.split('\n')[0] ?? ''}`;
    }
  }

  /** Why nothing can be captured on a device; undefined if something can. */
  static obstacle(device: string, backend: GraphBackend = native): string | undefined {
    if (CudaGraph.isSupported(device, backend)) return undefined;
    return 'the addon was built without CUDA graphs';
  }

  /**
   * Gives the recorded work to the device, without waiting for it.
   * @throws TorchError after `dispose`, or if the device refuses
   */
  replay(): void {
    if (this.#id === undefined) {
      throw new TorchError('CudaGraph.replay', 'the graph was disposed. Capture it again.');
    }
    try {
      this.#backend.graphReplay?.(this.#id);
    } catch (error) {
      throw new TorchError('CudaGraph.replay', (error as Error).message, { cause: error });
    }
  }

  /** Frees the graph and its memory: tensors made inside must not be used any more. */
  dispose(): void {
    if (this.#id === undefined) return;
    this.#backend.graphDispose?.(this.#id);
    this.#id = undefined;
  }
}
