// The files of checkpoints that torch.distributed.checkpoint and DeepSpeed spread over several, by their names.
import { basename } from 'node:path';

/** Whether a file is one of those of torch.distributed.checkpoint, which are of no use alone. */
export const isDcpPart = (path: string): boolean => /\.distcp$|^\.metadata$/.test(basename(path));

/** What DeepSpeed writes beside its checkpoints to make one file of them. */
export const zeroScript = 'zero_to_fp32.py';

/** Beside the folders of its checkpoints, with the name of the last in it. */
export const zeroLatest = 'latest';

/** The file of DeepSpeed that has the whole model, unless its parameters are spread too (ZeRO stage 3). */
export const zeroModelFile = 'mp_rank_00_model_states.pt';

/** Whether files of one folder are those of a checkpoint of DeepSpeed. */
export const hasZeroFiles = (files: readonly string[]): boolean =>
  files.some((name) => /^(?:zero_pp_rank_\d+_)?mp_rank_\d+_model_states\.pt$/.test(name));

/** Whether every process wrote a part of the model: parts of its parameters, or of its layers. */
export const isZeroSpread = (files: readonly string[]): boolean =>
  files.some((name) => /^(?:zero_pp_rank_.*|mp_rank_0*[1-9]\d*)_model_states\.pt$/.test(name));
