/*
 * tfjs-node-gpu's kernels, without its native addon. They are part of the package that is built; in the checkout
 * they come from node_modules.
 */
import util from 'node:util';
import type * as tf from '@tensorflow/tfjs';
import { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js';
import type { Attribute } from './attributes.ts';
import type { Binding, TensorMetadata } from './binding.ts';
import type { Values } from './tensors.ts';

// They call these two, which Node dropped in version 23.
const nodeUtil = util as unknown as Record<string, unknown>;
nodeUtil.isArray ??= Array.isArray;
nodeUtil.isNullOrUndefined ??= (value: unknown): boolean => value === null || value === undefined;

/** The name of the backend in tfjs: tfjs-node's kernels are registered for this one. */
export const BACKEND_NAME = 'tensorflow';

/** What `NodeJSKernelBackend` knows of a tensor: its number in the binding, or the values it is yet to be made from. */
export interface TensorRecord {
  shape: number[];
  dtype: number;
  id: number;
  values: Values | null;
}

/** The part of `NodeJSKernelBackend` that is used or overridden here, its private methods included. */
export interface NodeKernelBackend extends tf.KernelBackend {
  readonly tensorMap: tf.DataStorage<TensorRecord>;
  readonly binding: Binding;
  getInputTensorIds(tensors: tf.TensorInfo[]): number[];
  createOutputTensor(metadata: TensorMetadata): tf.Tensor;
  createReductionOpAttrs(tensor: tf.TensorInfo, keepDims?: boolean): Attribute[];
  executeSingleInput(op: string, input: tf.TensorInfo): tf.Tensor;
  executeSingleOutput(op: string, attributes: Attribute[], inputs: tf.TensorInfo[]): tf.Tensor;
  executeMultipleOutputs(
    op: string,
    attributes: Attribute[],
    inputs: tf.TensorInfo[],
    count: number,
  ): tf.Tensor[];
  move(dataId: tf.DataId, values: Values, shape: number[], dtype: tf.DataType, refCount: number): void;
}

// Not a plain import: that would be in the package's declarations, where tfjs-node-gpu is not known.
await import('@tensorflow/tfjs-node-gpu/dist/register_all_kernels.js');

export const NodeKernelBackend = NodeJSKernelBackend as unknown as new (
  binding: Binding,
  packageName: string,
) => NodeKernelBackend;
