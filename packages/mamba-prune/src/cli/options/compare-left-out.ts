// Flags of prune and train that make no sense in a comparison, or are called otherwise there.
import { groupKinds } from '../../models/families.js';
import type { LeftOutFlags } from './left-out.js';

const sameSize = 'all methods are compared at the same size';

const ofFile =
  'make a model file that has it, and give that one as --dense: mamba-prune export FILE ... --out dense.safetensors.';

const ofDense = 'train the dense model with it, and give the run as --dense: mamba-prune train.';

/** The rates of kinds: there is one for every kind that a family registers. */
const ratesOfKinds = (): LeftOutFlags =>
  Object.fromEntries(
    Array.from(groupKinds(), ([kind, { rateFlag }]) => [
      rateFlag,
      `the rates of --rate are those of every kind that is cut. --target chooses the kinds (such as ${kind}), and --rate-of ` +
        'gives groups a rate of their own.',
    ]),
  );

export const compareLeftOut = (): LeftOutFlags => ({
  ...ratesOfKinds(),
  '--method': 'several are compared: --methods names them.',
  '--rounds':
    'every method cuts once, so that all have the same training. --cuts divides that of RSST among several cuts.',
  '--per-round': 'every method cuts once, so that all have the same training.',
  '--rewind': 'every method trains on from the weights that its cut leaves.',
  '--rates-from':
    'the rates of --rate are compared one by one. --rate-of gives groups a rate of their own, and --exclude leaves them whole.',
  '--target-latency':
    'runs that go on side by side, or on several machines, cannot be timed alike. Every method can be cut to the same ' +
    '--target-macs, --target-params or --target-file.',
  '--refill-budget': `${sameSize}, and Refill cuts deeper for the units that it gives back.`,
  '--near-zero': `it removes as many units as there are, and ${sameSize}. --rate says how many go.`,
  '--auto-batch': 'all runs have the same batch size. Give one that fits: --batch-size.',
  '--checkpoint-every':
    'every run has a checkpoint after each epoch, and every 10 minutes within it.',
  '--restart':
    'the same command again does what is missing. To do a run anew, delete its folder before.',
  '--keep-epochs': 'no method goes back to earlier weights.',
  '--workers': 'every run is one process. --jobs says how many go on at the same time.',
  '--from': ofDense,
  '--recipe-from':
    'the trainings before and after the cut have recipes of their own. A run that is given as --dense brings the recipe of scratch.',
  '--teacher': 'the dense model teaches: --distill is its weight.',
  '--widths-from':
    'the method scratch trains random weights in the widths of the one-shot cut: --methods dense,scratch,oneshot.',
  ...Object.fromEntries(
    ['--eps', '--head-dim', '--mean', '--pooling', '--resample-positions', '--shortcut-padding']
      .concat('--classifier', '--std', '--weights')
      .map((flag) => [flag, ofFile]),
  ),
});
