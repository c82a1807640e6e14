// Torch-Pruning's GroupMagnitudeImportance on our groups, as an importance of one's own: the squares of all weights of a
// unit but biases, added up. Of a ResNet it chooses the units that `theirs-l2` chooses, so what separates it from `l2` is the criterion:
// squares in place of roots, and the gain of a channel's batch normalisation, which `consumer` leaves out.
import { noGrad, scope, zeros } from '@mamba-prune/libtorch';
import { registerImportance } from 'mamba-prune';

registerImportance({
  name: 'group-magnitude',
  description: 'sum of w² over all weights of a unit but biases, as Torch-Pruning has it',
  score: ({ model, groups, members }) => {
    const parameters = model.namedParameters();
    return new Map(
      groups.map(({ name, size }) => {
        const counted = members.get(name).filter(({ parameter }) => !/bias$/.test(parameter));
        return [name, sumOfSquares(counted, size, parameters)];
      }),
    );
  },
});

function sumOfSquares(members, size, parameters) {
  return scope(() =>
    noGrad(() => {
      const total = zeros([size], { dtype: 'float64' });
      for (const { parameter, dim, offset = 0, unitSize = 1 } of members) {
        const slices = parameters
          .get(parameter)
          .detach()
          .narrow(dim, offset, size * unitSize);
        const rows = slices.transpose(0, dim).reshape(size, -1).to('cpu').to('float64');
        total.add_(rows.square().sum(1));
      }
      return total.toTypedArray();
    }),
  );
}
