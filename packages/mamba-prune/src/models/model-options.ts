// What a caller may choose when making a model, or say of a file of another program; the architecture's name gives the rest.
import type { MambaOptions } from './mamba/config.js';
import type { ResNetOptions } from './resnet/config.js';
import type { VimOptions } from './vim/config.js';
import type { VitOptions, VitPooling } from './vit/config.js';
import type { VMambaOptions } from './vmamba/config.js';

/**
 * The options of all families. A family of one's own adds its options by merging into this interface, in a module that
 * imports or exports something:
 *
 *     declare module 'mamba-prune/models' {
 *       interface ModelOptions { readonly tokens?: number | undefined }
 *     }
 *
 * It has to stay an interface, and the entry has to export it by this name: TypeScript merges nothing else.
 */
export interface ModelOptions
  extends MambaOptions, VitOptions, ResNetOptions, VMambaOptions, VimOptions {}

/**
 * What no shape tells, and a new model is never asked. A family of one's own adds its options by merging into this
 * interface, as into `ModelOptions`.
 */
export interface ReadingOptions {
  /** ViT: width of one attention head. `heads` alone is enough where it leaves one possibility. */
  readonly headDim?: number | undefined;
  /** ViT: what the classifier reads; the class token unless the file tells otherwise. */
  readonly pooling?: VitPooling | undefined;
  /** ViT: what LayerNorm adds to the variance; what the program that wrote the file has by default. */
  readonly eps?: number | undefined;
  /** ViT: the MLP's activation; `gelu`, the exact one, is the only one there is here. */
  readonly activation?: string | undefined;
  /**
   * Resamples the positions for images of `imageSize`, where the file has them for another size: bicubic with
   * antialiasing, as timm does. Without it such a size is refused.
   */
  readonly resamplePositions?: boolean | undefined;
  /** Mamba: what weights of one direction are for, where `scan` is not said and the caller's models have one of these. */
  readonly oneDirection?: 'uni' | 'cross' | undefined;
  /**
   * ResNet with shortcuts without parameters (option A of He et al. 2016): where the channels of zeros are, on both
   * sides or at the end. `linear` as the name of the classifier means both sides.
   */
  readonly shortcutPadding?: 'both' | 'end' | undefined;
}
