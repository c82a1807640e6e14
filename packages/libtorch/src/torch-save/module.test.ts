import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FormatError, loadTorchSave } from '../index.js';
import { TorchCheckpoint } from './checkpoint.js';
import { type PickledModule, isModule, moduleTensors } from './module.js';
import { type PickleValue, PythonGlobal, PythonObject } from './values.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

/** A module as the unpickler leaves it, with others inside. */
function made(children: Record<string, PickleValue> = {}): PythonObject {
  const module = new PythonObject('nets.Net', []);
  module.state = new Map<PickleValue, PickleValue>([
    ['_parameters', new Map()],
    ['_buffers', new Map()],
    ['_modules', new Map<PickleValue, PickleValue>(Object.entries(children))],
  ]);
  return module;
}

const tensors = (module: PythonObject): unknown => moduleTensors(module, 'test', { left: 100_000 });

describe('a whole module that was pickled', () => {
  it.each([
    ['modules.pt', 'DataParallel inside of a dict'],
    ['legacy-module.pt', 'as torch < 1.6 wrote it'],
  ])('gives what its state_dict() has: %s, %s', async (file) => {
    const tensors = await loadTorchSave(fixture(file), { onUnknownGlobal: 'placeholder' });
    const names = ['conv.weight', 'bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var'];
    // Not the buffer that is not persistent, nor what no module registers.
    expect([...tensors.keys()].sort()).toEqual([...names, 'bn.num_batches_tracked', 'kept'].sort());
    expect(tensors.get('conv.weight')?.toNumbers()).toEqual([0.5, 0.5]);
    expect(tensors.get('kept')?.toNumbers()).toEqual([0, 1]);
  });

  it('says what its modules have in attributes that are data', async () => {
    const file = await TorchCheckpoint.open(fixture('modules.pt'), {
      onUnknownGlobal: 'placeholder',
    });
    try {
      const [dict] = file.stateDicts;
      const { modules = new Map<string, PickledModule>() } = dict ?? {};
      expect([...modules.keys()]).toEqual(['', 'module', 'module.conv', 'module.bn']);
      const norm = modules.get('module.bn');
      expect(norm?.type).toBe('torch.nn.modules.batchnorm.BatchNorm2d');
      expect([norm?.setting('eps'), norm?.setting('affine')]).toEqual([1e-5, true]);
      const block = modules.get('module');
      expect(block?.attribute('hidden')).toEqual([[0, 1, 2, 3]]);
      // Lists are no settings, what is not there is neither, and names of modules are no attributes.
      expect([block?.setting('hidden'), block?.setting('eps')]).toEqual([undefined, undefined]);
      expect(block?.attribute('conv')).toBeUndefined();
    } finally {
      file.close();
    }
  });

  it('says which hooks are registered to it, by their names, and runs none', () => {
    const hooks: PickleValue[] = [
      new PythonGlobal('nets.keep'),
      new PythonObject('builtins.getattr', [made(), 'save']),
      new PythonObject('nets.Hook', []),
    ];
    const module = made();
    if (!(module.state instanceof Map)) throw new TypeError('expected attributes');
    module.state.set('_forward_hooks', new Map(hooks.map((hook, id) => [id, hook])));
    module.state.set('_forward_pre_hooks', new Map([[7, new PythonGlobal('nets.before')]]));
    const { modules } = moduleTensors(made({ inner: module }), 'test', { left: 100 });
    expect(modules.get('inner')?.hooks).toEqual([
      'nets.before',
      'nets.keep',
      'nets.Net.save',
      'nets.Hook',
    ]);
    expect(modules.get('')?.hooks).toEqual([]);
  });

  it('is refused unless placeholders are asked for, because its class is not known', async () => {
    await expect(loadTorchSave(fixture('legacy-module.pt'))).rejects.toThrow('"__main__.Block"');
  });

  it('may hold another one twice', () => {
    const inner = made();
    expect(() => tensors(made({ a: inner, b: inner }))).not.toThrow();
  });

  it('is refused when it contains itself, or names without end', () => {
    const loop = made();
    const state = loop.state instanceof Map ? loop.state.get('_modules') : undefined;
    if (state instanceof Map) state.set('again', loop);
    expect(isModule(loop)).toBe(true);
    expect(() => tensors(loop)).toThrow(FormatError);
    expect(() => tensors(loop)).toThrow('test: got a pickled module that contains itself');
    let deep = made();
    for (let level = 0; level < 300; level += 1) deep = made({ inner: deep });
    expect(() => tensors(deep)).toThrow('more than 200 levels');
    // 2^30 names out of 30 modules.
    let wide = made();
    for (let level = 0; level < 30; level += 1) wide = made({ a: wide, b: wide });
    expect(() => tensors(wide)).toThrow('far too many names');
  });
});
