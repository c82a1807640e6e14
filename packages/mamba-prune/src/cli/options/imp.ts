// The flags of the original training script, by their own names.
import { boxedPackage } from '../../boxed-models.js';
import { dataLimits, modelLimits, mostThreads, pruneLimits, trainLimits } from '../../limits.js';
import type { Precision } from '../../precision.js';
import { type Command, Option } from 'commander';
import { type SharedOption, families, modelOptions } from '../../models/families.js';
import { type ScanMode, scanModes } from '../../models/mamba/scan-order.js';
import type { Amount } from '../../pruning/budget/amounts.js';
import type { MinWidth } from '../../pruning/group-limits.js';
import { defaultWithImages } from '../../pruning/importances.js';
import type { RankMeasure } from '../../pruning/ranking.js';
import { rsstSchedules } from '../../pruning/rsst/schedule.js';
import type { LatencyBudget } from '../../workflows/prune/cost-budget-settings.js';
import { budgetOptions } from './amounts.js';
import { type CompensationFlags, compensationOptions } from './compensation.js';
import { cacheOption, datasetOption } from './data.js';
import type { PatternRate } from '../../pruning/group-patterns.js';
import { groupOptions } from './groups.js';
import { criteria, refusedCriteria, refusedFlags, scriptDefaults } from './imp-script.js';
import { type WeightsFlags, pixelOptions, weightsOptions } from './import.js';
import { rankByOption } from './importance.js';
import { familyOption } from './model.js';
import {
  addOptions,
  choiceOption,
  integerOption,
  integersOption,
  numberOption,
  withRefusedWords,
} from './parse.js';

/** Nothing here has a default of commander's: what was typed tells the method. */
export interface ImpFlags extends WeightsFlags {
  readonly data?: string;
  readonly dataset?: string;
  readonly arch?: string;
  readonly init?: string;
  readonly pretrained?: string;
  /** The script downloads weights by name; a model means what --pretrained does, and none the trained one of that name. */
  readonly mamba_pretrained?: string | true;
  readonly vit_pretrained?: string | true;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly heads?: number;
  readonly scan?: ScanMode;
  readonly exp_name?: string;
  readonly save_dir?: string;
  readonly resume?: true | 'previous';
  readonly restart?: true;
  readonly gpu?: number;
  readonly batch_size?: number;
  readonly workers?: number;
  readonly lr?: number;
  readonly momentum?: number;
  readonly weight_decay?: number;
  readonly epochs?: number;
  readonly warmup?: number;
  readonly decreasing_lr?: readonly number[];
  readonly print_freq?: number;
  readonly pruning_times?: number;
  readonly rate?: number;
  readonly target_macs?: Amount;
  readonly target_params?: Amount;
  readonly target_file?: Amount;
  readonly target_latency?: LatencyBudget;
  readonly exclude?: readonly string[];
  readonly rate_of?: readonly PatternRate[];
  readonly min_width?: MinWidth;
  readonly rank_by?: RankMeasure;
  readonly prune_type?: 'lt' | 'pt' | 'rewind_lt';
  readonly rewind_epoch?: number;
  readonly criteria?: string;
  readonly sorting_mode?: 'global' | 'layerwise' | 'layer-wise';
  readonly struct?: 'refill' | 'rsst';
  readonly fillback_rate?: number;
  readonly RST_schedule?: (typeof rsstSchedules)[number];
  readonly reg_granularity_prune?: number;
  readonly exponents?: number;
  readonly mamba_structured?: true;
  readonly mamba_prune_target?: 'ssm' | 'mlp' | 'both';
  readonly mamba_mlp_prune_ratio?: number;
  readonly vit_structured?: true;
  readonly vit_prune_target?: 'head' | 'mlp' | 'both';
  readonly mlp_prune_ratio?: number;
  readonly d_model?: number;
  readonly depth?: number;
  readonly d_state?: number;
  readonly patch?: number;
  readonly stride?: number;
  readonly stem_stride?: number;
  readonly base_width?: number;
  readonly blocks?: readonly number[];
  readonly image_size?: number;
  readonly cached_size?: number;
  readonly train_images?: number;
  readonly test_images?: number;
  readonly augment?: string;
  readonly reg_epochs?: number;
  readonly compensate?: CompensationFlags['compensate'];
  readonly compensate_images?: number;
  readonly tensorboard?: true;
  readonly print_plan?: true;
  readonly precision?: Precision;
}

/** Sizes of families that the script does not know, as the other commands have them, spelled as the script spells. */
export const otherSizes = (): SharedOption[] =>
  modelOptions()
    .filter(({ name }) => ['stride', 'stemStride', 'baseWidth', 'blocks'].includes(name))
    .map(({ flag = '', ...option }) => ({ ...option, flag: flag.replaceAll(/(?<=\w)-/g, '_') }));

export function addImpOptions(command: Command, architectures: readonly string[]): void {
  const d = scriptDefaults;
  const below1 = { min: 0, below: 1 };
  const group = (heading: string, options: readonly Option[]): void => {
    command.optionsGroup(heading);
    addOptions(command, options);
  };
  group('Model and data:', [
    choiceOption('--arch <name>', 'architecture', architectures, d.arch),
    datasetOption(d.dataset),
    new Option('--data <dir>', `folder of the data set (default: ${d.data})`),
    new Option('--init <model>', 'model whose weights the dense training begins with'),
    new Option('--pretrained <model>', 'dense model to prune, in place of training one'),
    new Option(
      '--mamba_pretrained [model]',
      `the same as --pretrained, for a mamba_*, vim_* or vmamba_*; without a model the trained one of ${boxedPackage} for ` +
        '--arch and --dataset, or the published weights of --arch, which are downloaded',
    ),
    new Option('--vit_pretrained [model]', 'the same as --mamba_pretrained, for a vit_*'),
  ]);
  group('Training, dense and after each cut:', [
    integerOption('--epochs <n>', `number of epochs of each training (default: ${d.epochs})`, {
      min: 1,
      max: trainLimits.epochs,
    }),
    integerOption('--batch_size <n>', `number of images per step (default: ${d.batch_size})`, {
      min: 1,
      max: trainLimits.batchSize,
    }),
    numberOption('--lr <rate>', `learning rate of SGD (default: ${d.lr})`, {
      above: 0,
      max: trainLimits.lr,
    }),
    numberOption('--momentum <x>', `momentum of SGD (default: ${d.momentum})`, below1),
    numberOption('--weight_decay <x>', `weight decay of SGD (default: ${d.weight_decay})`, {
      min: 0,
      max: trainLimits.strength,
    }),
    integerOption(
      '--warmup <epochs>',
      `number of first epochs in which the learning rate rises (default: ${d.warmup})`,
      {
        min: 0,
        max: trainLimits.epochs,
      },
    ),
    integersOption(
      '--decreasing_lr <e,e,...>',
      `epochs after which the learning rate falls to a tenth (default: ${d.decreasing_lr.join(',')})`,
      { min: 1, max: trainLimits.epochs, rises: true },
    ),
    integerOption(
      '--print_freq <steps>',
      'write a line to metrics.jsonl after every so many steps',
      {
        min: 1,
        max: trainLimits.steps,
      },
    ),
    integerOption('--workers <n>', 'number of threads that prepare images (default: 0)', {
      min: 0,
      max: mostThreads,
    }),
  ]);
  group('Pruning:', [
    integerOption(
      '--pruning_times <n>',
      `number of rounds of pruning and training (default: ${d.pruning_times})`,
      {
        min: 1,
        max: pruneLimits.rounds,
      },
    ),
    numberOption(
      '--rate <x>',
      `share of the units that is gone after all rounds (default: ${d.rate})`,
      below1,
    ),
    ...budgetOptions('_'),
    new Option(
      '--mamba_structured',
      'prune whole channels and neurons; needed for mamba_*, vim_* and vmamba_*',
    ),
    choiceOption(
      '--mamba_prune_target <kind>',
      'kind of units to prune',
      ['ssm', 'mlp', 'both'],
      'both',
    ),
    numberOption(
      '--mamba_mlp_prune_ratio <x>',
      'share of the neurons of a Mamba to remove (default: 0.7)',
      below1,
    ),
    new Option('--vit_structured', 'prune whole heads and neurons; needed for vit_*'),
    choiceOption(
      '--vit_prune_target <kind>',
      'kind of units to prune',
      ['head', 'mlp', 'both'],
      'head',
    ),
    numberOption(
      '--mlp_prune_ratio <x>',
      'share of the neurons of a ViT to remove (default: --rate)',
      below1,
    ),
    withRefusedWords(
      choiceOption(
        '--criteria <name>',
        'how the importance of a unit is measured',
        criteria(),
        defaultWithImages(families()),
      ),
      Object.keys(refusedCriteria),
    ),
    choiceOption(
      '--sorting_mode <scope>',
      'rank units across all layers, or within each layer',
      ['global', 'layerwise', 'layer-wise'],
      'global; vit_*: layerwise',
    ),
    choiceOption(
      '--prune_type <name>',
      'weights that kept units go back to, those of the start, the dense model or an epoch',
      ['lt', 'pt', 'rewind_lt'],
      'none',
    ),
    integerOption(
      '--rewind_epoch <n>',
      `epoch whose weights rewind_lt goes back to (default: ${d.rewind_epoch})`,
      {
        min: 0,
        max: trainLimits.epochs,
      },
    ),
  ]);
  group('Method:', [
    choiceOption('--struct <name>', 'pruning method', ['refill', 'rsst'], 'rsst if it has flags'),
    numberOption(
      '--fillback_rate <x>',
      'refill: share of the removed units that is given back (default: 0)',
      {
        min: 0,
        max: 1,
      },
    ),
    choiceOption(
      '--RST_schedule <name>',
      'rsst: how the penalty grows',
      rsstSchedules,
      d.RST_schedule,
    ),
    numberOption(
      '--reg_granularity_prune <x>',
      'rsst: strength of the penalty at the end (default: 1)',
      {
        min: 0,
        max: trainLimits.strength,
      },
    ),
    numberOption(
      '--exponents <p>',
      `rsst: exponent of the exp schedules (default: ${d.exponents})`,
      {
        above: 0,
        max: pruneLimits.exponent,
      },
    ),
    integerOption(
      '--reg_epochs <n>',
      'rsst: regularised epochs before each cut (default: --epochs)',
      {
        min: 1,
        max: trainLimits.epochs,
      },
    ),
  ]);
  group('Run:', [
    new Option('--exp_name <name>', 'name of the run, whose folder is runs/NAME'),
    new Option('--save_dir <dir>', 'folder of the run, or of all runs if --exp_name is given too'),
    new Option('--resume', 'go on, with the same flags as before'),
    new Option(
      '--restart',
      "with --resume: start over if no checkpoint, or a round's model, can be read",
    ),
    integerOption('--gpu <n>', 'index of the GPU to compute on (default: as --device)', {
      min: 0,
      max: 1023,
    }),
    new Option('--tensorboard', 'write event files for TensorBoard too'),
    new Option('--print_plan', 'print what would be done as JSON, and do nothing'),
  ]);
  group('Not in the script:', [
    integerOption('--d_model <n>', 'width of the residual stream (default: as --arch)', {
      min: 1,
      max: modelLimits.dModel,
    }),
    integerOption('--depth <n>', 'number of blocks (default: as --arch)', {
      min: 1,
      max: modelLimits.depth,
    }),
    integerOption('--d_state <n>', 'number of states per SSM channel (default: as --arch)', {
      min: 1,
      max: modelLimits.dState,
    }),
    integerOption('--patch <px>', 'side of a patch (default: by the size of the images)', {
      min: 1,
      max: modelLimits.patchSize,
    }),
    ...otherSizes().map((option) => familyOption(option, option.whenNew ?? 'as --arch')),
    choiceOption(
      '--scan <way>',
      'directions in which a Mamba scans the patches',
      scanModes,
      'uni; with weights as they say',
    ),
    integerOption('--heads <n>', 'ViT: number of attention heads (default: as --arch)', {
      min: 1,
      max: modelLimits.heads,
    }),
    ...weightsOptions('_'),
    ...pixelOptions('as the data'),
    integerOption(
      '--image_size <px>',
      'side of the images from folders, or of the inputs of a pretrained ResNet',
      {
        min: 1,
        max: dataLimits.imageSize,
      },
    ),
    cacheOption('_'),
    ...groupOptions('_'),
    rankByOption('_'),
    ...compensationOptions('_'),
    integerOption('--train_images <n>', 'train on this many images only (default: all)', {
      min: 1,
      max: trainLimits.images,
    }),
    integerOption('--test_images <n>', 'evaluate on this many images only (default: all)', {
      min: 1,
      max: trainLimits.images,
    }),
    choiceOption(
      '--augment <name>',
      'how strongly images are augmented',
      ['none', 'standard', 'strong'],
      'standard',
    ),
  ]);
  for (const { flags } of Object.values(refusedFlags))
    command.addOption(new Option(flags).hideHelp());
}
