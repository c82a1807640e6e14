// For tests: a model that says how bright an image is, and that can be held up.
import type { Classifier } from '../classifier.js';
import type { Clock } from '../clock.js';
import { type Config, readConfig } from '../config.js';
import { type RunningServer, startServer } from '../start.js';

export interface FakeClassifier extends Classifier {
  /** Sizes of the batches that were run. */
  readonly batches: number[];
  /** Runs that have begun, those that are held up too. */
  readonly begun: () => number;
  readonly released: () => boolean;
  /** Runs wait until the function returned is called. */
  hold(): () => void;
}

/** Probability of `bright` is the mean of the image's bytes over 255. */
export function fakeClassifier(): FakeClassifier {
  const batches: number[] = [];
  let gate = Promise.resolve();
  let released = false;
  let begun = 0;
  return {
    shape: [3, 8, 8],
    preprocessing: { interpolation: 'bilinear', cropShare: 1 },
    classes: ['dark', 'bright'],
    description: { arch: 'fake' },
    batches,
    begun: () => begun,
    released: () => released,
    hold() {
      let open = (): void => undefined;
      gate = new Promise((resolve) => {
        open = resolve;
      });
      return open;
    },
    async run(images) {
      begun++;
      await gate;
      if (released) throw new Error('the model was freed already');
      batches.push(images.length);
      return images.map((image) => {
        const bright = image.reduce((sum, byte) => sum + byte, 0) / image.length / 255;
        return Float32Array.of(1 - bright, bright);
      });
    },
    release() {
      released = true;
      return Promise.resolve();
    },
  };
}

/** For a server on a free port, without a log. Nothing times out: a busy machine is no reason to fail. */
export const fakeConfig = (): Config =>
  readConfig({ MODEL: 'fake.onnx', PORT: '0', LOG_LEVEL: 'silent', TIMEOUT_MS: '3600000' });

export function fakeServer(
  classifier: Classifier,
  settings: Partial<Config> = {},
  clock?: Clock,
): Promise<RunningServer> {
  const config = { ...fakeConfig(), ...settings };
  return startServer(config, () => Promise.resolve(classifier), clock);
}
