// Layers: what the package exports as `nn`.
export { GELU, ReLU, SiLU } from './activations.js';
export { ModuleList, Sequential } from './containers.js';
export { Conv1d, Conv2d, type ConvOptions } from './conv.js';
export { DropPath, Dropout } from './dropout.js';
export * as functional from './functional.js';
export * as init from './init.js';
export { Linear, type LinearOptions, type PlaceOptions } from './linear.js';
export { type Layer, type LoadResult, Module } from './module.js';
export { BatchNorm2d, type BatchNormOptions, LayerNorm, type LayerNormOptions } from './norm.js';
