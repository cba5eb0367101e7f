import * as tf from '@tensorflow/tfjs';
import type { Values } from './tensors.ts';
import { BACKEND_NAME, NodeKernelBackend } from './tfjsNode.ts';
import type { Trace } from './trace.ts';

/** tfjs-node's backend, over our binding; it adds what tracing asks for. */
export class TensorFlowBackend extends NodeKernelBackend {
  /* The trace that was open when a tensor was made from values; they may wait until an op needs them. */
  private readonly madeIn = new WeakMap<tf.DataId, Trace>();
  private readonly definitions = new Map<string, Disposable>();
  /* tf.Variables by the number that stood for them in a trace: their number changes when they are assigned. */
  private readonly variables = new Map<number, tf.Variable>();

  override move(
    dataId: tf.DataId,
    values: Values,
    shape: number[],
    dtype: tf.DataType,
    refCount: number,
  ): void {
    super.move(dataId, values, shape, dtype, refCount);
    const { trace } = this.binding;
    if (trace !== undefined) this.madeIn.set(dataId, trace);
  }

  override getInputTensorIds(tensors: tf.TensorInfo[]): number[] {
    if (this.binding.trace === undefined) return super.getInputTensorIds(tensors);
    // tfjs-node passes its Int64Scalar here too, which is no tensor.
    for (const tensor of tensors) if ('dataId' in tensor) this.materialise(tensor.dataId);
    const ids = super.getInputTensorIds(tensors);
    tensors.forEach((tensor, i) => {
      if (tensor instanceof tf.Variable) this.variables.set(ids[i] as number, tensor as tf.Variable);
    });
    return ids;
  }

  override readSync(dataId: tf.DataId): tf.backend_util.BackendValues {
    const record = this.tensorMap.get(dataId);
    // A value that waits in JavaScript is one like any other: tracing must not see it, unless it is a constant.
    if (
      this.binding.trace !== undefined &&
      record.values !== null &&
      this.openTraceOf(dataId) === undefined
    ) {
      this.materialise(dataId);
    }
    return super.readSync(dataId);
  }

  override dispose(): void {
    for (const definition of this.definitions.values()) definition[Symbol.dispose]();
    this.definitions.clear();
    this.binding.dispose();
  }

  /** What the runtime itself defines, at its first use, and keeps as long as the backend: a function for a key. */
  definedOnce<T extends Disposable>(key: string, define: () => T): T {
    const known = this.definitions.get(key) as T | undefined;
    const definition = known ?? define();
    this.definitions.set(key, definition);
    return definition;
  }

  /** The number of a tensor in the binding; a tensor that waits for its values is made. */
  idOf(tensor: tf.TensorInfo): number {
    return this.getInputTensorIds([tensor])[0] as number;
  }

  /** The tfjs tensor for a number in the binding. */
  tensorOf(id: number): tf.Tensor {
    const { shape, dtype } = this.binding.describe(id);
    return this.createOutputTensor({ id, shape: [...shape], dtype });
  }

  /** The number that now stands for what had the number `id` while it was captured by a trace. */
  currentId(id: number): number {
    const variable = this.variables.get(id);
    return variable === undefined ? id : this.idOf(variable);
  }

  /** Makes a tensor from values that waited for an op to need them: in the trace that was open then, if it still is. */
  private materialise(dataId: tf.DataId): void {
    const record = this.tensorMap.get(dataId);
    if (record.values === null) return;
    const trace = this.openTraceOf(dataId);
    record.id =
      trace === undefined
        ? this.binding.createEager(record.shape, record.dtype, record.values)
        : this.binding.createConstant(trace, record.shape, record.dtype, record.values);
    record.values = null;
  }

  private openTraceOf(dataId: tf.DataId): Trace | undefined {
    const trace = this.madeIn.get(dataId);
    return trace !== undefined && this.binding.isOpen(trace) ? trace : undefined;
  }
}

/** The backend that tfjs computes on now, if that is TensorFlow. */
export function currentTensorFlow(): TensorFlowBackend | undefined {
  const backend = tf.engine().backendName === BACKEND_NAME ? tf.backend() : undefined;
  return backend instanceof TensorFlowBackend ? backend : undefined;
}

/** Whether tfjs computes on a GPU now. */
export const isOnGpu = (): boolean => currentTensorFlow()?.binding.isUsingGpuDevice() === true;
