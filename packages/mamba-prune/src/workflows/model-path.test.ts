// Which file a folder means, and what is said of files that are no model alone.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { RunFolder } from '../training/run-folder.js';
import { modelPath } from './model-path.js';

const root = mkdtempSync(join(tmpdir(), 'model-path-'));
afterAll(() => {
  rmSync(root, { recursive: true });
});

/** A folder with empty files. */
function folderOf(name: string, files: readonly string[]): string {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const file of files) writeFileSync(join(folder, file), '');
  return folder;
}

describe('a folder of weights that are split over several files', () => {
  const shard = 'model-00001-of-00002.safetensors';
  const index = 'model.safetensors.index.json';
  const torch = ['pytorch_model-00001-of-00001.bin', 'pytorch_model.bin.index.json'];

  it('means the index of them, of safetensors before torch.save', () => {
    const folder = folderOf('both', [shard, index, ...torch]);
    expect(modelPath(folder)).toBe(join(folder, index));
    const old = folderOf('old', torch);
    expect(modelPath(old)).toBe(join(old, 'pytorch_model.bin.index.json'));
  });

  it('means a whole file where there is one', () => {
    const folder = folderOf('whole', [shard, index, 'model.safetensors']);
    expect(modelPath(folder)).toBe(join(folder, 'model.safetensors'));
  });

  it('means the index beside another file that may be one of weights, which is named', () => {
    const notes: string[] = [];
    const onNote = (note: string): number => notes.push(note);
    const folder = folderOf('beside', [shard, index, 'swa.pt']);
    expect(modelPath(folder, { onNote })).toBe(join(folder, index));
    expect(notes.join()).toContain(`${index} was taken, not swa.pt.`);
    const whole = folderOf('usual', [...torch, 'pytorch_model.bin']);
    expect(modelPath(whole)).toBe(join(whole, 'pytorch_model.bin'));
  });

  it('is named where one of the files is given', () => {
    const folder = folderOf('one', [shard, index]);
    expect(() => modelPath(join(folder, shard))).toThrow(
      `${join(folder, shard)} is one of several files that weights are split over. Give the folder, ${folder}, or their index, ${join(folder, index)}.`,
    );
  });
});

describe('a checkpoint of torch.distributed.checkpoint', () => {
  const command =
    /python -m torch\.distributed\.checkpoint\.format_utils dcp_to_torch .*dcp\d weights\.pt$/;

  it('is named, with how to make a file of it', () => {
    const folder = folderOf('dcp1', ['.metadata', '__0_0.distcp']);
    expect(() => modelPath(folder)).toThrow(/is a checkpoint of torch\.distributed\.checkpoint/);
    expect(() => modelPath(folder)).toThrow(command);
  });

  it('is named where Lightning has put a file of its own beside the parts', () => {
    expect(() => modelPath(folderOf('dcp2', ['.metadata', '__0_0.distcp', 'meta.pt']))).toThrow(
      command,
    );
  });

  it('is named where one of its files is given', () => {
    const folder = folderOf('dcp3', ['.metadata', '__0_0.distcp']);
    for (const file of ['.metadata', '__0_0.distcp']) {
      expect(() => modelPath(join(folder, file))).toThrow(/is a part of a checkpoint of torch/);
      expect(() => modelPath(join(folder, file))).toThrow(command);
    }
  });
});

describe('a folder of DeepSpeed', () => {
  const optimizers = [0, 1].map((rank) => `zero_pp_rank_${rank}_mp_rank_00_optim_states.pt`);

  /** With a checkpoint in it, and the name of it in `latest`. */
  function zero(name: string, models: readonly string[], latest = 'global_step1'): string {
    const folder = folderOf(name, ['zero_to_fp32.py']);
    folderOf(join(name, 'global_step1'), [...models, ...optimizers]);
    writeFileSync(join(folder, 'latest'), latest);
    return folder;
  }

  it('means the file of the model in its last checkpoint, and says so', () => {
    const notes: string[] = [];
    const folder = zero('zero2', ['mp_rank_00_model_states.pt']);
    const file = join(folder, 'global_step1', 'mp_rank_00_model_states.pt');
    expect(modelPath(folder, { onNote: (note) => notes.push(note) })).toBe(file);
    expect(modelPath(join(folder, 'global_step1'))).toBe(file);
    expect(notes.join()).toContain(`is a checkpoint of DeepSpeed: ${file} was taken`);
  });

  it.each([
    ['its parameters', optimizers.map((name) => name.replace('optim', 'model'))],
    ['its layers', ['mp_rank_00_model_states.pt', 'mp_rank_01_model_states.pt']],
  ])('is refused where %s are spread, with how to make a file of it', (name, models) => {
    const folder = zero(name, models);
    for (const given of [folder, join(folder, 'global_step1')]) {
      expect(() => modelPath(given)).toThrow(
        /whose parameters are spread over several files.*python .*zero_to_fp32\.py/s,
      );
    }
  });

  it('is a folder like others where `latest` is a pipe, which nobody waits for', () => {
    const folder = folderOf('pipe', []);
    execFileSync('mkfifo', [join(folder, 'latest')]);
    expect(() => modelPath(folder)).toThrow(/is a folder without model\.safetensors/);
  });

  it('is a folder like others where `latest` leads out of it', () => {
    const folder = zero('elsewhere', ['mp_rank_00_model_states.pt'], '../zero2/global_step1');
    expect(modelPath(folder)).toBe(join(folder, 'global_step1', 'mp_rank_00_model_states.pt'));
    const none = zero('none', ['mp_rank_00_model_states.pt'], '..');
    expect(() => modelPath(none)).toThrow(/is a folder without model\.safetensors/);
  });
});

it('the name of a trained model without what stands before it is told how it is written', () => {
  expect(() => modelPath('cifar10/mamba_tiny')).toThrow(
    / The trained model of this name is written models:cifar10\/mamba_tiny\.$/,
  );
});

it('what has the form of a repository of the hub is told how to be one, unless it is a path', () => {
  expect(() => modelPath('timm/vit_tiny_patch16_224.augreg_in21k')).toThrow(
    / A repository of the hub is written hf:timm\/vit_tiny_patch16_224\.augreg_in21k\.$/,
  );
  const here = folderOf('here', []);
  for (const path of [join(here, 'vit.pth'), './timm/vit', 'vit', 'a/b/c']) {
    expect(() => modelPath(path)).toThrow(/does not exist, .*\(see 'mamba-prune models'\)\.$/s);
  }
});

describe('a run without a model', () => {
  it('is one whose end to wait for while a process writes it, and one to resume afterwards', () => {
    const folder = join(root, 'unfinished');
    const run = RunFolder.create(folder, { command: 'train', args: [], seed: 0 });
    expect(() => modelPath(folder)).toThrow(
      `${folder} has no model.safetensors yet: its training goes on in another process. Wait for its end.`,
    );
    run.release();
    writeFileSync(run.bestModel, '');
    expect(() => modelPath(folder)).toThrow(
      `its training is not finished. Resume it (\`train.resume\`). ${run.bestModel} is the best model of its evaluations so far.`,
    );
  });
});
