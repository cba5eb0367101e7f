/*
 * Kernels that TensorFlow has no op for in tfjs's form. tfjs's backend `cpu`, which is plain JavaScript, runs them on
 * values that are read back; so they cannot be traced.
 */
import * as tf from '@tensorflow/tfjs';

/** Those that `cpu` runs always. */
export const ON_CPU = [
  'RaggedGather',
  'RaggedRange',
  'RaggedTensorToTensor',
  'SparseFillEmptyRows',
  'SparseReshape',
  'StringNGrams',
  'StringSplit',
  'StringToHashBucketFast',
];

/* The part of tfjs's MathBackendCPU that is used here. */
interface CpuBackend extends tf.KernelBackend {
  makeTensorInfo(shape: number[], dtype: tf.DataType, values: tf.backend_util.BackendValues): tf.TensorInfo;
}

type Input = tf.TensorInfo | tf.TensorInfo[];

/**
 * Runs a kernel on tfjs's backend `cpu`.
 * @param backend the one that the inputs are on, and the results come to
 */
export function runOnCpu(
  kernelName: string,
  inputs: Record<string, Input>,
  attributes: Record<string, unknown>,
  backend: tf.KernelBackend,
): tf.Tensor | tf.Tensor[] {
  const cpu = tf.findBackend('cpu') as CpuBackend;
  const kernel = tf.getKernelsForBackend('cpu').find((known) => known.kernelName === kernelName);
  const made: tf.TensorInfo[] = [];
  const copy = ({ dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo => {
    const info = cpu.makeTensorInfo([...shape], dtype, backend.readSync(dataId));
    made.push(info);
    return info;
  };
  const attrs = attributes as tf.NamedAttrMap;
  const copies = Object.fromEntries(
    Object.entries(inputs).map(([name, input]) => [
      name,
      Array.isArray(input) ? input.map(copy) : copy(input),
    ]),
  ) as tf.NamedTensorInfoMap;
  const move = ({ dataId, shape, dtype }: tf.TensorInfo): tf.Tensor => {
    const moved = backend.write(cpu.readSync(dataId), shape, dtype);
    return tf.engine().makeTensorFromTensorInfo({ dataId: moved, shape, dtype });
  };
  try {
    const results = kernel?.kernelFunc({ inputs: copies, backend: cpu, attrs }) as Input;
    made.push(...[results].flat());
    return Array.isArray(results) ? results.map(move) : move(results);
  } finally {
    for (const { dataId } of made) cpu.disposeData(dataId);
  }
}
