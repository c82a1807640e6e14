// The command lines that two versions are compared by, in their order: later ones use what earlier ones wrote.

const folder = ['--dataset', 'folder', '--data', 'images'];
const images = [...folder, '--image-size', '16'];
/** Small enough that all of them take minutes. */
const sizes = {
  mamba: '--arch mamba_nano --d-model 16 --depth 2 --d-state 4 --patch 4',
  vit: '--arch vit_tiny --d-model 24 --depth 2 --heads 3 --patch 4',
  resnet: '--arch resnet20 --base-width 4 --blocks 1,1',
};
const brief = '--epochs 1 --batch-size 16 --augment none';

const words = (text) => text.split(' ').filter((word) => word !== '');
const common = ['--seed', '3', '--threads', '1', '--json'];

function command(name, text, ...more) {
  const argv = [...words(text), ...more];
  const [verb] = argv;
  const general = ['inspect', 'export'].includes(verb) ? ['--json'] : common;
  return { name, argv: [...argv, ...general] };
}

const train = (name, flags, ...more) =>
  command(`train-${name}`, `train ${flags}`, ...more, ...images, '--out', `runs/${name}`);
const prune = (name, model, flags, ...more) =>
  command(
    `prune-${name}`,
    `prune runs/${model} ${flags}`,
    ...more,
    ...folder,
    '--out',
    `runs/${name}`,
  );

const trainings = [
  train('mamba', `${sizes.mamba} --epochs 3 --batch-size 16 --keep-epochs 1,2`),
  train('mamba-bi', `${sizes.mamba} ${brief} --scan bi`),
  train('mamba-cross', `${sizes.mamba} ${brief} --scan cross --drop-path 0.2`),
  train('mamba-quick', `--arch mamba_quick --d-model 16 --patch 4 ${brief}`),
  train('mamba-default', `--arch mamba_nano --d-model 16 ${brief}`),
  train('vit', `${sizes.vit} --epochs 2 --batch-size 16 --drop-path 0.1`),
  train('resnet', `${sizes.resnet} --epochs 2 --batch-size 16`),
  train('bottleneck', `--arch resnet50 --base-width 4 --blocks 1,1 --stem imagenet ${brief}`),
  train('muon', `${sizes.mamba} ${brief} --optimizer muon`),
  train('sgd', `${sizes.mamba} ${brief} --optimizer sgd --momentum 0.8 --weight-decay 1e-3`),
  train('muon-vit', `${sizes.vit} ${brief} --optimizer muon --ema 0.9`),
  train('constant', `${sizes.mamba} ${brief} --schedule constant --clip-grad 0`),
  train('multistep', `${sizes.mamba} ${brief} --epochs 3 --milestones 1,2 --gamma 0.3`),
  train('warmup', `${sizes.mamba} ${brief} --epochs 2 --warmup-epochs 1.5 --label-smoothing 0`),
  train('ema', `${sizes.mamba} ${brief} --ema 0.9 --lr 3e-3`),
  train('strong', `${sizes.mamba} ${brief} --augment strong`),
  train('imagenet', `${sizes.vit} ${brief} --augment imagenet`),
  train('mix', `${sizes.mamba} ${brief} --epochs 2 --mixup 0.4 --cutmix 1 --plain-epochs 1`),
  train('plain', `${sizes.resnet} ${brief} --augment strong --plain-epochs 1 --plain-augment none`),
  train('bf16', `${sizes.mamba} ${brief} --precision bf16`),
  train('few', `${sizes.mamba} ${brief} --train-images 40 --test-images 11 --eval-every 2`),
  train('threads', `${sizes.mamba} ${brief} --augment strong --data-threads 2`),
  train('workers', `${sizes.mamba} ${brief} --workers 2`),
  train('fitted', `${sizes.mamba} ${brief} --auto-batch`),
  train('crop', `${sizes.mamba} ${brief} --interpolation bicubic --crop-share 0.7`),
  train('from', `--from runs/mamba ${brief}`),
  train('longer', `${sizes.mamba} ${brief} --ema 0.9 --augment strong`),
  command('train-resume', 'train --resume --epochs 3 --out runs/longer'),
  command('train-resume-done', 'train --resume --out runs/mamba'),
  ...['fast', 'standard', 'best'].map((preset) =>
    command(
      `train-preset-${preset}`,
      `train --arch mamba_quick --d-model 16 --dataset fashion-mnist --preset ${preset} --epochs 1 ` +
        `--train-images 256 --test-images 100 --out runs/preset-${preset}`,
    ),
  ),
];

const small = '--epochs 1 --batch-size 16 --augment none --rate 0.5';
const methods = [
  ...['l1', 'l2', 'taylor'].flatMap((norm) =>
    ['out_proj', 'group', 'activation'].flatMap((score) =>
      ['mamba', 'vit', 'resnet'].map((model) =>
        prune(
          `${model}-${norm}-${score}`,
          model,
          `--rate 0.5 --importance ${norm} --score ${score}` +
            (norm === 'taylor' || score === 'activation' ? ' --score-batches 1' : ''),
        ),
      ),
    ),
  ),
  prune('bi', 'mamba-bi', '--rate 0.5 --target all'),
  prune('cross', 'mamba-cross', '--rate 0.5'),
  prune('bottleneck-cut', 'bottleneck', '--rate 0.5 --bn-batches 2'),
  prune('state', 'mamba', '--target state,dt_rank --state-rate 0.5 --dt-rank-rate 0.4'),
  prune('ssm', 'mamba', '--target ssm --ssm-rate 0.6 --normalize none'),
  prune('mlp', 'mamba', '--target mlp --mlp-rate 0.6 --round-to 4 --max-rate 0.55'),
  prune('heads', 'vit', '--target all --heads-rate 0.34 --mlp-rate 0.5'),
  prune('channels', 'resnet', '--channels-rate 0.6 --ranking layerwise --round-to 2'),
  prune('tuned', 'mamba', `${small} --distill 0.5 --temperature 2`),
  prune('rounds', 'mamba', `${small} --rounds 3 --ema 0.9`),
  prune('per-round', 'mamba', `${small} --rounds 2 --per-round --optimizer sgd`),
  prune('rewind-source', 'mamba', `${small} --rounds 2 --rewind source`),
  prune('rewind-init', 'mamba', `${small} --rewind init --rounds 2`),
  prune('rewind-epoch', 'mamba', `${small} --rewind epoch:2`),
  ...['magnitude', 'gradient'].flatMap((score) =>
    ['add', 'keep'].map((budget) =>
      prune(
        `refill-${score}-${budget}`,
        'mamba',
        `${small} --method refill --fillback 0.3 --refill-score ${score} --refill-budget ${budget} --rounds 2`,
      ),
    ),
  ),
  prune('refill-vit', 'vit', `${small} --method refill --fillback 0.5`),
  prune('refill-resnet', 'resnet', `${small} --method refill --fillback 0.5 --bn-batches 1`),
  ...['x', 'x^2', 'x^3', 'exp', 'exp_custom', 'exp_custom_exponents', 'constant'].map((schedule) =>
    prune(
      `rsst-${schedule.replace('^', '')}`,
      'mamba',
      `${small} --method rsst --reg-schedule ${schedule} --reg-strength 0.01` +
        (schedule === 'exp_custom_exponents' ? ' --exponents 3' : ''),
    ),
  ),
  ...['l1', 'group'].flatMap((norm) =>
    ['all', 'doomed'].flatMap((units) =>
      ['loss', 'proximal'].map((how) =>
        prune(
          `rsst-${norm}-${units}-${how}`,
          'mamba',
          `${small} --method rsst --reg-epochs 1 --reg-norm ${norm} --reg-scope ${units} --reg-apply ${how}`,
        ),
      ),
    ),
  ),
  prune('rsst-near', 'mamba', '--method rsst --reg-epochs 1 --near-zero 0.3 --batch-size 16'),
  prune(
    'rsst-through',
    'mamba',
    `${small} --method rsst --reg-epochs 2 --reg-scope doomed --lr-through --rounds 2 --ema 0.9`,
  ),
  prune(
    'rsst-rechoose',
    'mamba',
    `${small} --method rsst --reg-epochs 3 --reg-scope doomed --rechoose 1 --importance taylor --score group`,
  ),
  prune('rsst-vit', 'vit', `${small} --method rsst --reg-epochs 1 --reg-scope doomed`),
  prune('rsst-resnet', 'resnet', `${small} --method rsst --reg-epochs 1`),
  prune('twice', 'rounds', '--rate 0.3'),
  prune('preset', 'mamba', '--rate 0.5 --preset fast --epochs 1 --batch-size 16'),
  command('prune-resume-done', 'prune --resume --out runs/rounds'),
  command('prune-resume-longer', 'prune --resume --epochs 2 --out runs/tuned'),
  command('prune-alone', 'prune runs/mamba/model.safetensors --rate 0.5 --out runs/alone'),
];

const exported = ['mamba', 'mamba-bi', 'mamba-cross', 'vit', 'resnet', 'bottleneck', 'state'];
const uses = [
  ...exported.flatMap((run) => [
    command(`inspect-${run}`, `inspect runs/${run}`),
    command(`eval-${run}`, `eval runs/${run} --per-class`, ...folder),
    command(`predict-${run}`, `predict runs/${run} others/wide.ppm others/high.ppm --top-k 3`),
    command(`onnx-${run}`, `export runs/${run} --out ${run}.onnx`),
    command(`predict-onnx-${run}`, `predict ${run}.onnx others/wide.ppm others/high.ppm`),
    command(`safetensors-${run}`, `export runs/${run} --out ${run}.safetensors`),
    command(`onnx-webgpu-${run}`, `export runs/${run} --target webgpu --out ${run}-webgpu.onnx`),
  ]),
  ...['scan', 'linear-attention'].map((op) =>
    command(`onnx-${op}`, `export runs/mamba --scan-op ${op} --out mamba-${op}.onnx`),
  ),
  ...['mamba', 'vit', 'resnet'].flatMap((run) => [
    command(`onnx-half-${run}`, `export runs/${run} --dtype float16 --out ${run}-half.onnx`),
    command(`onnx-float-${run}`, `export runs/${run} --input float32 --out ${run}-float.onnx`),
    ...['int8', 'int8-dynamic'].map((kind) =>
      command(
        `onnx-${kind}-${run}`,
        `export runs/${run} --quantize ${kind} --out ${run}-${kind}.onnx`,
        ...folder,
      ),
    ),
  ]),
  command('eval-onnx', 'eval mamba.onnx --split train --images 30', ...folder),
  command('eval-bf16', 'eval runs/mamba --precision bf16', ...folder),
  command('eval-own', 'eval runs/rounds'),
  command('data-list', 'data list').argv.slice(0, 2),
].map((entry) =>
  Array.isArray(entry) ? { name: 'data-list', argv: [...entry, '--json'] } : entry,
);

const script = `${folder.join(' ')} --image_size 16 --epochs 1 --batch_size 16 --pruning_times 2 --warmup 0`;
const imp = (name, flags) =>
  command(`imp-${name}`, `imp ${flags} ${script} --exp_name imp-${name}`);
const mamba = '--arch mamba_nano --mamba_structured --d_model 16 --depth 2 --d_state 4 --patch 4';
const jobs = [
  imp('refill', `${mamba} --rate 0.5 --fillback_rate 0.2 --criteria magnitude`),
  imp('rsst', `${mamba} --rate 0.5 --RST_schedule exp_custom_exponents --exponents 4`),
  imp(
    'rsst-reg',
    `${mamba} --struct rsst --reg_granularity_prune 0.1 --reg_epochs 1 --prune_type lt`,
  ),
  imp('rewind', `${mamba} --criteria taylor --prune_type rewind_lt --rewind_epoch 1`),
  imp('resnet', '--arch res20s --rate 0.4 --criteria l2 --sorting_mode layer-wise'),
  imp(
    'vit',
    '--arch vit_tiny --vit_structured --vit_prune_target both --d_model 24 --depth 2 --heads 3 --patch 4 --rate 0.34',
  ),
  command('imp-plan', `imp ${mamba} ${script} --exp_name planned --print_plan`),
  command(
    'compare',
    `compare ${sizes.mamba} --image-size 16 --epochs 1 --finetune-epochs 2 --batch-size 16 --seeds 2 --rate 0.5 ` +
      '--augment none --jobs 1 --out runs/compared',
    ...folder,
  ),
  command(
    'compare-more',
    `compare ${sizes.mamba} --image-size 16 --epochs 1 --finetune-epochs 2 --batch-size 16 --seeds 2 --rate 0.5,0.3 ` +
      '--augment none --jobs 1 --out runs/compared',
    ...folder,
  ),
  command('report', 'report runs --images 12 --out report.html', ...folder),
];

/** @param files - checkpoints of other programs, each its path and the flags that it needs */
export function casesFor(files) {
  const imports = files.flatMap((file, i) => {
    const [path, ...flags] = words(file);
    const name = `${i}-${path.split('/').slice(-2).join('-')}`;
    return [
      command(`import-inspect-${name}`, `inspect ${path}`, ...flags),
      command(`import-${name}`, `export ${path} --out imported/${name}.safetensors`, ...flags),
      command(
        `import-predict-${name}`,
        `predict ${path} others/wide.ppm others/high.ppm`,
        ...flags,
      ),
    ];
  });
  return [...trainings, ...methods, ...uses, ...jobs, ...imports];
}
