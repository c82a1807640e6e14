// What a caller may choose when making a model; the architecture's name gives the rest.
import type { MambaOptions } from './mamba/config.js';
import type { ResNetOptions } from './resnet/config.js';
import type { VitOptions } from './vit/config.js';

/**
 * The options of all families. A family of one's own adds its options by merging into this interface:
 *
 *     declare module 'mamba-prune/models' {
 *       interface ModelOptions { readonly tokens?: number | undefined }
 *     }
 */
export interface ModelOptions extends MambaOptions, VitOptions, ResNetOptions {}
