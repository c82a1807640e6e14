// The process of one run. It talks to its parent over the channel that fork makes, and when that is gone
// stops after the step in progress, with a checkpoint.
import { manualSeed, setNumThreads } from '@mamba-prune/libtorch';
import { environmentPlugins, loadFromEnvironment } from '../../plugins.js';
import { perform, type RunOrder } from './perform.js';

export type ToChild =
  { readonly type: 'run'; readonly order: RunOrder } | { readonly type: 'stop' };

export type FromChild =
  | { readonly type: 'progress'; readonly epochs: number }
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'end'; readonly finished: boolean }
  | { readonly type: 'error'; readonly message: string };

const stop = new AbortController();

function tell(message: FromChild): void {
  if (process.connected) process.send?.(message);
}

async function work(order: RunOrder): Promise<void> {
  setNumThreads(order.threads);
  manualSeed(order.run.seed);
  let told = 0;
  try {
    for (const name of environmentPlugins(process.env)) await loadFromEnvironment(name);
    const finished = await perform(order, {
      signal: stop.signal,
      onProgress: (epochs) => {
        if (performance.now() - told < 200) return;
        told = performance.now();
        tell({ type: 'progress', epochs });
      },
      onNote: (text) => {
        tell({ type: 'note', text });
      },
    });
    tell({ type: 'end', finished });
  } catch (error) {
    if (stop.signal.aborted) tell({ type: 'end', finished: false });
    else tell({ type: 'error', message: error instanceof Error ? error.message : String(error) });
  }
  if (process.connected) process.disconnect();
}

process.on('message', (message: ToChild) => {
  if (message.type === 'stop') stop.abort();
  else void work(message.order);
});
process.on('disconnect', () => {
  stop.abort();
});
// Ctrl-C, and a terminal that closes, reach every process of the group: the parent decides what they mean.
for (const name of ['SIGINT', 'SIGHUP'] as const) process.on(name, () => undefined);
process.on('SIGTERM', () => {
  stop.abort();
});
