// Optimizers, averages and copies of many small parameters on a GPU, each of which is a launch or a few for whole lists: as on
// the CPU, the same again, and as captured.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CudaGraph,
  WeightCopies,
  copyOf,
  full,
  manualSeed,
  noGrad,
  optim,
  randn,
  scope,
  zeros,
} from '@mamba-prune/libtorch';
import { distance, gpu, skip } from './support.mjs';

const steps = 3;

/** Values to begin with, and gradients of every step. */
function given(shapes) {
  manualSeed(6);
  const values = shapes.map((shape) => randn(shape));
  const gradients = Array.from({ length: steps }, () => shapes.map((shape) => randn(shape)));
  return { values, gradients };
}
const onDevice = (tensors, device) =>
  tensors.map((tensor) => {
    const copy = tensor.clone().to(device).detach();
    copy.requiresGrad = true;
    return copy;
  });

/** The parameters and the optimizer's state after some steps, by name. */
function train(make, { values, gradients }, device, { capturable = false, left = 0 } = {}) {
  const params = onDevice(values, device);
  const optimizer = make(params);
  if (capturable) optimizer.makeCapturable(full([], left, { device }).keep());
  for (const step of gradients) {
    params.forEach((param, i) => {
      param.grad = step[i].to(device);
    });
    optimizer.setLrFactor(0.5);
    optimizer.step();
  }
  const named = params.map((param, i) => [`parameter ${i} of ${param.shape}`, param.detach()]);
  return new Map([...named, ...optimizer.stateDict().tensors]);
}

/** A tensor a step captured: gradients are written where the graph reads them. */
function replayed(make, { values, gradients }) {
  const params = onDevice(values, gpu);
  const optimizer = make(params);
  optimizer.makeCapturable(zeros([], { device: gpu }).keep());
  const places = values.map((value) => zeros(value.shape, { device: gpu }));
  params.forEach((param, i) => {
    param.grad = places[i];
  });
  const write = (step) => noGrad(() => places.forEach((place, i) => place.copy_(step[i])));
  write(gradients[0]);
  optimizer.setLrFactor(0.5);
  optimizer.launch(); // makes the state, and loads the kernels
  optimizer.count();
  const graph = CudaGraph.capture(gpu, () => optimizer.launch());
  for (const step of gradients.slice(1)) {
    write(step);
    graph.replay();
    optimizer.count();
  }
  const named = params.map((param, i) => [`parameter ${i} of ${param.shape}`, param.detach()]);
  const all = new Map([...named, ...optimizer.stateDict().tensors]);
  graph.dispose();
  return all;
}

function expectWithin(got, expected, most) {
  for (const [name, tensor] of expected) {
    const apart = distance(got.get(name), tensor);
    assert.ok(apart <= most, `${name}: ${apart}`);
  }
}

// Fewer numbers than a thread moves at once, than a block has, as many, and more; more tensors than a launch has.
const sizes = [[1], [3], [5, 1, 4], [192], [2047], [2048], [2049], [77, 192], [448, 192]];
const many = Array.from({ length: 15 }, () => sizes).flat();

describe('AdamW on a GPU', { skip }, () => {
  const make = (params) => new optim.AdamW(params, { lr: 0.02, weightDecay: 0.05 });

  it('takes the steps of the CPU, eager and captured, and the same again', () => {
    scope(() => {
      const all = given(many);
      const expected = train(make, all, 'cpu');
      const eager = train(make, all, gpu);
      expectWithin(eager, expected, 1e-6);
      const onTheDevice = train(make, all, gpu, { capturable: true });
      expectWithin(onTheDevice, eager, 1e-6);
      expectWithin(train(make, all, gpu, { capturable: true }), onTheDevice, 0);
      expectWithin(replayed(make, all), onTheDevice, 0);
    });
  });

  it('leaves all as it is where a step is to be left out', () => {
    scope(() => {
      const all = given(sizes);
      const after = train(make, all, gpu, { capturable: true, left: 1 });
      all.values.forEach((value, i) => {
        assert.equal(distance(after.get(`parameter ${i} of ${value.shape}`), value), 0);
      });
    });
  });

  it('takes parameters that begin anywhere in memory', () => {
    scope(() => {
      const rate = (params) => new optim.AdamW(params, { lr: 0.1 });
      const whole = randn([5001]);
      const gradients = [[randn([5000])], [randn([5000])], [randn([5000])]];
      const view = whole.to(gpu).narrow(0, 1, 5000);
      const shifted = train(rate, { values: [whole.narrow(0, 1, 5000)], gradients }, 'cpu');
      const params = [view.detach()];
      params[0].requiresGrad = true;
      const optimizer = rate(params);
      for (const [gradient] of gradients) {
        params[0].grad = gradient.to(gpu);
        optimizer.setLrFactor(0.5);
        optimizer.step();
      }
      assert.ok(distance(params[0], shifted.get('parameter 0 of 5000')) <= 1e-6);
    });
  });
});

describe('SGD on a GPU', { skip }, () => {
  const settings = [{}, { momentum: 0.9, weightDecay: 0.05 }, { momentum: 0.9, nesterov: true }];
  const maker = (of) => (params) => new optim.SGD(params, { lr: 0.1, ...of });

  for (const of of settings) {
    it(`takes the steps of the CPU, eager and captured, and the same again: ${JSON.stringify(of)}`, () => {
      scope(() => {
        const make = maker(of);
        const all = given(many);
        const eager = train(make, all, gpu);
        expectWithin(eager, train(make, all, 'cpu'), 1e-6);
        const onTheDevice = train(make, all, gpu, { capturable: true });
        expectWithin(onTheDevice, eager, 1e-6);
        expectWithin(train(make, all, gpu, { capturable: true }), onTheDevice, 0);
        expectWithin(replayed(make, all), onTheDevice, 0);
      });
    });
  }

  it('leaves all as it is where a step is to be left out', () => {
    scope(() => {
      const all = given(sizes);
      const after = train(maker(settings[1]), all, gpu, { capturable: true, left: 1 });
      all.values.forEach((value, i) => {
        assert.equal(distance(after.get(`parameter ${i} of ${value.shape}`), value), 0);
        assert.equal(distance(after.get(`${i}.momentum_buffer`), zeros(value.shape)), 0);
      });
    });
  });
});

describe('Muon on a GPU', { skip }, () => {
  // Of one multiplication's tile and less, of each side, lying and upright, up to what a multiprocessor takes, more than one
  // launch, and what goes in stacks.
  const shapes = [
    ...[
      [1, 3],
      [16, 16],
      [44, 37],
      [37, 44],
      [20, 12],
      [37, 1, 4],
      [80, 192],
      [192, 40],
    ],
    ...[
      [230, 192],
      [17, 300],
      [192, 240],
      [300, 17],
      [768, 192],
      [384, 192],
      [500, 64],
    ],
  ];
  const matrices = Array.from({ length: 9 }, () => shapes).flat();
  const make = (params) =>
    new optim.Muon([{ params, orthogonalize: true, weightDecay: 0.05 }], { lr: 0.02 });

  it('takes the steps of the CPU, eager and captured, and the same again', () => {
    scope(() => {
      const all = given(matrices);
      const [expected, got] = [train(make, all, 'cpu'), train(make, all, gpu)];
      for (const [name, tensor] of expected) {
        const apart = distance(got.get(name), tensor);
        if (name.endsWith('momentum_buffer')) assert.ok(apart <= 1e-6, `${name}: ${apart}`);
      }
      all.values.forEach((value, i) => {
        const name = `parameter ${i} of ${value.shape}`;
        const [change, wanted] = [got, expected].map((map) => map.get(name).to('cpu').sub(value));
        const apart = distance(change, wanted);
        // The iteration forgives the roundings of bfloat16, which the CPU has none of.
        assert.ok(apart <= 0.06, `${name}: ${apart}`);
      });
      const onTheDevice = train(make, all, gpu, { capturable: true });
      expectWithin(onTheDevice, got, 1e-6);
      expectWithin(train(make, all, gpu, { capturable: true }), onTheDevice, 0);
      // Of what goes in stacks the library multiplies, which may choose another algorithm.
      expectWithin(replayed(make, all), onTheDevice, 1e-4);
    });
  });

  it('leaves matrices of its own kernel as they are where a step is to be left out', () => {
    scope(() => {
      const all = given(shapes.slice(0, 10));
      const after = train(make, all, gpu, { capturable: true, left: 1 });
      all.values.forEach((value, i) => {
        assert.equal(distance(after.get(`parameter ${i} of ${value.shape}`), value), 0);
      });
    });
  });

  it('makes nothing of a gradient without a size, and shows one that is not finite', () => {
    scope(() => {
      const values = [randn([44, 37]), randn([44, 37])];
      const gradients = [[zeros([44, 37]), full([44, 37], NaN)]];
      const undecayed = (params) =>
        new optim.Muon([{ params, orthogonalize: true, weightDecay: 0 }], { lr: 0.02 });
      const after = train(undecayed, { values, gradients }, gpu);
      assert.equal(distance(after.get('parameter 0 of 44,37'), values[0]), 0);
      assert.ok(after.get('parameter 1 of 44,37').toNumbers().every(Number.isNaN));
    });
  });
});

describe('whole lists on a GPU', { skip }, () => {
  it('are averaged, measured and scaled as on the CPU', () => {
    scope(() => {
      const { values, gradients } = given(many);
      const lists = ['cpu', gpu].map((device) => {
        const averages = values.map((value) => value.clone().to(device));
        const decay = full([], 0.9, { device });
        optim.averageAll_(
          averages,
          gradients[0].map((tensor) => tensor.to(device)),
          decay,
        );
        const params = onDevice(values, device);
        params.forEach((param, i) => {
          param.grad = gradients[1][i].clone().to(device);
        });
        const norm = optim.clipGradNormOnDevice(params, 2).item();
        const clipped = params.map(({ grad }) => grad.clone());
        // Within the limit now, so nothing changes.
        optim.clipGradNormOnDevice(params, 10);
        params.forEach(({ grad }, i) => assert.equal(distance(grad, clipped[i]), 0));
        return { averages, norm, clipped };
      });
      const [wanted, got] = lists;
      assert.ok(Math.abs(got.norm / wanted.norm - 1) <= 1e-6, `${got.norm}, ${wanted.norm}`);
      many.forEach((shape, i) => {
        assert.ok(distance(got.averages[i], wanted.averages[i]) <= 1e-7, `average of ${shape}`);
        assert.ok(distance(got.clipped[i], wanted.clipped[i]) <= 1e-6, `gradient of ${shape}`);
      });
    });
  });

  it('are copied in 16 bits, whatever their shape, and into a corner of a padded matrix', () => {
    scope(() => {
      const params = onDevice(given(many).values, gpu);
      const matrix = params[7];
      const padded = full([80, 200], 3, { device: gpu, dtype: 'bfloat16' });
      const to = padded.narrow(0, 0, 77).narrow(1, 0, 192);
      const copies = new WeightCopies(params, 'bfloat16', [{ from: matrix.detach(), to }]);
      noGrad(() => params.forEach((param) => param.add_(0.125)));
      copies.refresh();
      params.forEach((param) => {
        const copy = copyOf(param, 'bfloat16');
        assert.equal(distance(copy, param.to('bfloat16')), 0, `${param.shape}`);
      });
      assert.equal(distance(to, matrix.to('bfloat16')), 0);
      assert.equal(distance(padded.narrow(0, 77, 3), full([3, 200], 3)), 0);
      assert.equal(distance(padded.narrow(1, 192, 8), full([80, 8], 3)), 0);
      copies.dispose();
    });
  });
});
