// What the flags of the original training script say of the cuts: how much, how, and where training goes on from.
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { familyOf } from '../../models/families.js';
import type { Rewind } from '../../workflows/prune/rewind-time.js';
import type { PruneSettings } from '../../workflows/prune/settings.js';
import type { ScriptFamily, scriptDefaults } from './imp-script.js';
import type { ImpFlags } from './imp.js';

/** With the script's defaults. */
export type FilledImpFlags = ImpFlags & Required<Pick<ImpFlags, keyof typeof scriptDefaults>>;

/** How much is cut: by rates, or by a budget for which the rates only name the kinds. */
export function amountOf(
  given: ImpFlags,
  rates: Record<string, number>,
): Pick<PruneSettings, 'rates' | 'costBudget'> {
  const { target_macs: macs, target_params: params, target_file: file } = given;
  const costBudget = defined({ macs, params, file, latency: given.target_latency });
  if (Object.keys(costBudget).length === 0) return { rates };
  const typed = (['rate', 'mamba_mlp_prune_ratio', 'mlp_prune_ratio'] as const).find(
    (flag) => given[flag] !== undefined,
  );
  if (typed !== undefined) {
    throw new UsageError(
      `got --${typed} with a budget (--target_macs and its like), expected one of the two. Leave one out.`,
    );
  }
  return { costBudget, rates: Object.fromEntries(Object.keys(rates).map((kind) => [kind, 0])) };
}

/** @throws UsageError for a target of which the architecture has nothing */
export function ratesOf(
  flags: FilledImpFlags,
  arch: string,
  family: ScriptFamily,
): Record<string, number> {
  const { rate } = flags;
  const hasMlp = Object.hasOwn(familyOf(arch).kinds, 'mlp');
  if (family === 'resnet') return { channels: rate };
  if (family === 'mamba') {
    const target = flags.mamba_prune_target;
    if (target === 'mlp' && !hasMlp) {
      throw new UsageError(
        `--mamba_prune_target: got mlp, but the blocks of ${arch} have no MLP. Give ssm, or leave it out.`,
      );
    }
    return {
      ...(target !== 'mlp' && { ssm: rate }),
      ...(target !== 'ssm' && hasMlp && { mlp: flags.mamba_mlp_prune_ratio }),
    };
  }
  const target = flags.vit_prune_target;
  return {
    ...(target !== 'mlp' && { heads: rate }),
    ...(target !== 'head' && { mlp: flags.mlp_prune_ratio ?? rate }),
  };
}

/** The script's flags of RSST mean RSST; without any it is Refill. */
export function methodOf(
  given: ImpFlags,
  flags: FilledImpFlags,
): Pick<PruneSettings, 'method' | 'refill' | 'rsst'> {
  const { RST_schedule, reg_granularity_prune, exponents, reg_epochs, fillback_rate } = given;
  const regularizing = { RST_schedule, reg_granularity_prune, exponents, reg_epochs };
  const [typed] = Object.keys(defined(regularizing));
  const method = given.struct ?? (typed === undefined ? 'refill' : 'rsst');
  if (method === 'refill') {
    if (typed !== undefined) {
      throw new UsageError(
        `got --${typed} with --struct refill, but it belongs to rsst. Leave one out.`,
      );
    }
    return { method, refill: { fillback: flags.fillback_rate } };
  }
  if (fillback_rate !== undefined && fillback_rate > 0) {
    throw new UsageError(
      `got --fillback_rate with ${given.struct === undefined ? `--${typed ?? ''}, a flag of rsst` : '--struct rsst'}, but it belongs to refill. Leave one out.`,
    );
  }
  return {
    method,
    rsst: {
      schedule: flags.RST_schedule,
      strength: flags.reg_granularity_prune,
      exponent: flags.exponents,
      norm: 'l1',
      units: 'all',
      epochs: reg_epochs ?? flags.epochs,
    },
  };
}

/** @param isTrained - whether the dense model is still to be trained */
export function rewindOf(
  { prune_type, rewind_epoch }: ImpFlags,
  flags: FilledImpFlags,
  isTrained: boolean,
): Rewind {
  if (rewind_epoch !== undefined && prune_type !== 'rewind_lt') {
    throw new UsageError(
      `got --rewind_epoch with ${prune_type === undefined ? 'no --prune_type' : `--prune_type ${prune_type}`}, expected rewind_lt. Leave it out, or give --prune_type rewind_lt.`,
    );
  }
  if (prune_type === 'rewind_lt' && isTrained && flags.rewind_epoch > flags.epochs) {
    throw new UsageError(
      `got ${rewind_epoch === undefined ? `--prune_type rewind_lt, whose --rewind_epoch is ${flags.rewind_epoch},` : `--rewind_epoch ${rewind_epoch}`} ` +
        `with --epochs ${flags.epochs}, expected an epoch of the dense training: 0 to ${flags.epochs}. Give --rewind_epoch.`,
    );
  }
  if (prune_type === undefined) return 'none';
  if (prune_type === 'lt') return 'init';
  if (prune_type === 'pt') return 'source';
  return flags.rewind_epoch === 0 ? 'init' : `epoch:${flags.rewind_epoch}`;
}

/** Within each layer, or over all of them. */
export function rankingOf(
  { sorting_mode: mode }: ImpFlags,
  family: ScriptFamily,
): PruneSettings['ranking'] {
  if (mode === undefined) return family === 'vit' ? 'layer' : 'global';
  return mode === 'global' ? 'global' : 'layer';
}
