/**
 * The side of a patch, in pixels, for images of a side, where nothing names another: one that leaves 49 to 256 patches. It is
 * 4 up to 40 px as on CIFAR, 8 up to 128 px, 16 beyond as on ImageNet.
 */
export const usualPatch = (side: number): number => (side <= 40 ? 4 : side <= 128 ? 8 : 16);
