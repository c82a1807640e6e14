// What `mamba-prune-libtorch info` tells of the built addon. Nothing is built for it.
import { productKernels, productsMissing } from './kernels/low-precision.js';
import { addonFolder, isAddonThere } from './load-addon.js';
import { native } from './native.js';
import { getNumThreads } from './runtime.js';

/** Plain JSON. */
export interface AddonInfo {
  /** Threads that one operator may use. */
  readonly threads: number;
  /** That the kernels of this package use: `avx512`, `avx2` or `baseline`, the fastest here, or as `MAMBA_PRUNE_ISA` says. */
  readonly instructionSet: string;
  /** The instructions of products in low precision, such as `avx512_bf16`; null where the processor has none. */
  readonly products: { readonly bf16: string | null; readonly int8: string | null };
  /** Why there are none, of those that are null. */
  readonly productsMissing: { readonly bf16?: string; readonly int8?: string };
  /** The file of the TurboJPEG library that decodes JPEG files, or its name where the system does not tell; null without one. */
  readonly turboJpeg: string | null;
}

/**
 * @returns undefined where no addon is built that fits libtorch
 * @throws AddonError if the addon does not load; Error for an instruction set that cannot run here
 */
export function addonInfo(): AddonInfo | undefined {
  if (!isAddonThere()) return undefined;
  const instructionSet = native.instructionSet();
  const [bf16, int8] = [productsMissing('bf16'), productsMissing('int8')];
  return {
    threads: getNumThreads(),
    instructionSet,
    products: {
      bf16: productKernels('bf16') || null,
      int8: productKernels('int8') || null,
    },
    productsMissing: {
      ...(bf16 !== undefined && { bf16 }),
      ...(int8 !== undefined && { int8 }),
    },
    turboJpeg: native.jpegLibrary() || null,
  };
}

/** Lines for people. @param info - of `addonInfo` */
export function addonLines(info: AddonInfo | undefined): string[] {
  if (!info) {
    return [
      `addon    not built yet in ${addonFolder()}; its first use, or mamba-prune-libtorch build, builds it`,
    ];
  }
  const { threads, instructionSet: set, products, productsMissing: missing, turboJpeg } = info;
  const product = (precision: 'bf16' | 'int8'): string =>
    products[precision] ?? `none: ${missing[precision] ?? ''}`;
  return [
    `addon    ${addonFolder()}`,
    `threads  ${threads}`,
    `kernels  ${set}`,
    `bf16     ${product('bf16')}`,
    `int8     ${product('int8')}`,
    `jpeg     ${turboJpeg ?? 'sharp: the TurboJPEG library is not there, which decodes about four times as fast (apt-get install libturbojpeg0)'}`,
  ];
}
