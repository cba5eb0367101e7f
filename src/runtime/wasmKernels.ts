/*
 * Kernels that tfjs's wasm backend lacks or gets wrong, so that the same model code gives the same numbers there.
 * They are made of ops that it has.
 */
import * as tf from '@tensorflow/tfjs';
import { repairGradients } from './gradients.ts';
import '@tensorflow/tfjs-backend-wasm';

const BACKEND_NAME = 'wasm';

type Attributes = Record<string, unknown>;
/** @param original what the backend's own kernel gives */
type Kernel = (inputs: tf.Tensor[], attributes: Attributes, original: () => tf.Tensor) => tf.Tensor;

interface Replacement {
  /** the inputs' names, in the order in which the kernel takes them */
  inputs: string[];
  kernel: Kernel;
}

const of1 =
  (kernel: (x: tf.Tensor, attributes: Attributes, original: () => tf.Tensor) => tf.Tensor): Kernel =>
  ([x], attributes, original) =>
    kernel(x as tf.Tensor, attributes, original);
const of2 =
  (
    kernel: (a: tf.Tensor, b: tf.Tensor, attributes: Attributes, original: () => tf.Tensor) => tf.Tensor,
  ): Kernel =>
  ([a, b], attributes, original) =>
    kernel(a as tf.Tensor, b as tf.Tensor, attributes, original);

/* NaN wins over any number; wasm's kernels drop it. */
const keepNaN = of2((a, b, _, original) => {
  if (a.dtype !== 'float32') return original();
  return tf.where(tf.isNaN(a), a, tf.where(tf.isNaN(b), b, original()));
});

const REPLACEMENTS: Record<string, Replacement> = {
  Maximum: { inputs: ['a', 'b'], kernel: keepNaN },
  Minimum: { inputs: ['a', 'b'], kernel: keepNaN },
  ClipByValue: {
    inputs: ['x'],
    kernel: of1((x, _, original) =>
      x.dtype === 'float32' ? tf.where(tf.isNaN(x), x, original()) : original(),
    ),
  },
  // Its cast to bool takes the lowest 8 bits of the whole part.
  Cast: {
    inputs: ['x'],
    kernel: of1((x, { dtype }, original) =>
      dtype === 'bool' && x.dtype !== 'bool' ? tf.notEqual(x, tf.zerosLike(x)) : original(),
    ),
  },
  // It takes the logarithm of the rounded 1 + x; log(y) * x / (y - 1) makes up for what was rounded off (Kahan).
  Log1p: {
    inputs: ['x'],
    kernel: of1((x, _, original) => {
      const kept = tf.sub(tf.add(x, 1), 1);
      const isSmall = tf.less(tf.abs(x), 0.5);
      const isLost = tf.equal(kept, 0);
      const logarithm = original();
      const corrected = tf.div(tf.mul(logarithm, x), tf.where(isLost, tf.onesLike(x), kept));
      return tf.where(isLost, x, tf.where(isSmall, corrected, logarithm));
    }),
  },
  // With batch dimensions it gathers from wrong places: here indices run over all batches instead.
  GatherV2: {
    inputs: ['x', 'indices'],
    kernel: of2((x, indices, { axis, batchDims }, original) =>
      (batchDims as number) > 0
        ? gatherOfBatches(x, indices, axis as number, batchDims as number)
        : original(),
    ),
  },
  // What the gradient of gather (an embedding look-up) needs.
  UnsortedSegmentSum: {
    inputs: ['x', 'segmentIds'],
    kernel: of2((x, ids, { numSegments }) =>
      tf.scatterND(tf.reshape(ids, [-1, 1]), x, [numSegments as number, ...x.shape.slice(1)]),
    ),
  },
};

function gatherOfBatches(x: tf.Tensor, indices: tf.Tensor, axis: number, batchDims: number): tf.Tensor {
  const info = tf.backend_util.segment_util.collectGatherOpShapeInfo(x, indices, axis, batchDims);
  const { batchSize, outerSize, dimSize, sliceSize, outputShape } = info;
  // [batch, outer, dim, slice] -> [batch * dim, outer, slice], so that one index says batch and place.
  const rows = tf.reshape(
    tf.transpose(tf.reshape(x, [batchSize, outerSize, dimSize, sliceSize]), [0, 2, 1, 3]),
    [batchSize * dimSize, outerSize, sliceSize],
  );
  const firstOfBatch = tf.mul(tf.range(0, batchSize, 1, 'int32'), tf.scalar(dimSize, 'int32'));
  const places = tf.add(tf.reshape(indices, [batchSize, -1]), tf.expandDims(firstOfBatch, 1));
  const gathered = tf.gather(rows, places); // [batch, indices, outer, slice]
  return tf.reshape(tf.transpose(gathered, [0, 2, 1, 3]), outputShape);
}

let registered = false;

/** Puts the kernels of this file in the place of the wasm backend's, once in a process: tfjs's registry is global. */
export function registerWasmKernels(): void {
  if (registered) return;
  registered = true;
  repairGradients();
  for (const [kernelName, { inputs: names, kernel }] of Object.entries(REPLACEMENTS)) {
    const original = tf.getKernelsForBackend(BACKEND_NAME).find((known) => known.kernelName === kernelName);
    if (original !== undefined) tf.unregisterKernel(kernelName, BACKEND_NAME);
    tf.registerKernel({
      ...original,
      kernelName,
      backendName: BACKEND_NAME,
      kernelFunc: (args) =>
        tf.tidy(() => {
          const inputs = names.map((name) => (args.inputs as Record<string, tf.Tensor>)[name] as tf.Tensor);
          const run = (): tf.Tensor =>
            tf.engine().makeTensorFromTensorInfo(original?.kernelFunc(args) as tf.TensorInfo);
          return kernel(inputs, args.attrs ?? {}, run);
        }),
    });
  }
}
