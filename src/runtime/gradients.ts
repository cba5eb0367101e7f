/*
 * Gradients in place of those of tfjs that are wrong or missing. They hold for every backend, as tfjs's registry does.
 */
import * as tf from '@tensorflow/tfjs';

type Gradient = ReturnType<tf.GradFunc>;

/* Sums a gradient over the dimensions along which an input was broadcast. */
function sumToShape(gradient: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const added = gradient.rank - shape.length;
  const axes = gradient.shape.flatMap((_, i) => (i < added ? [i] : []));
  const kept = shape.flatMap((dim, i) => (dim === 1 && gradient.shape[added + i] !== 1 ? [added + i] : []));
  return axes.length + kept.length === 0 ? gradient : gradient.sum([...axes, ...kept]).reshape([...shape]);
}

/* tfjs does not sum these where an input was broadcast. */
const NOT_SUMMED = [tf.SquaredDifference, tf.Maximum, tf.Minimum, tf.BatchMatMul];

function summed(kernelName: string): tf.GradConfig {
  const config = tf.getGradient(kernelName);
  return {
    ...config,
    gradFunc: (dy, saved, attributes) => {
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      const gradient = config.gradFunc(dy, saved, attributes) as Record<'a' | 'b', () => tf.Tensor>;
      return { a: () => sumToShape(gradient.a(), a.shape), b: () => sumToShape(gradient.b(), b.shape) };
    },
  };
}

/* A step has no slope; tfjs knows that of greaterEqual only. */
const STEPS = [tf.Greater, tf.Less, tf.LessEqual, tf.Equal, tf.NotEqual];

function zero(kernelName: string): tf.GradConfig {
  return {
    kernelName,
    inputsToSave: ['a', 'b'],
    gradFunc: (_, saved): Gradient => {
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      return { a: () => tf.zeros(a.shape), b: () => tf.zeros(b.shape) };
    },
  };
}

/* tfjs hands over one gradient, not a list of one, where there is one result. */
const LISTS = [tf.Unpack, tf.SplitV];

function listed(kernelName: string): tf.GradConfig {
  const config = tf.getGradient(kernelName);
  return {
    ...config,
    gradFunc: (dy, saved, attributes) => config.gradFunc(Array.isArray(dy) ? dy : [dy], saved, attributes),
  };
}

/* tfjs's is transposed unless the axis is the last. */
const cumsum: tf.GradConfig = {
  kernelName: tf.Cumsum,
  gradFunc: (dy, _, attributes): Gradient => {
    const { axis, exclusive, reverse } = attributes as unknown as tf.CumsumAttrs;
    return { x: () => tf.cumsum(dy as tf.Tensor, axis, exclusive, !reverse) };
  },
};

/* tfjs has none. */
const gatherND: tf.GradConfig = {
  kernelName: tf.GatherNd,
  inputsToSave: ['params', 'indices'],
  gradFunc: (dy, saved): Gradient => {
    const [params, indices] = saved as [tf.Tensor, tf.Tensor];
    return {
      params: () => tf.scatterND(indices, dy as tf.Tensor, params.shape),
      indices: () => tf.zerosLike(indices),
    };
  },
};

/* tfjs's adds up slices, one for each repetition, and only up to rank 4. */
const tile: tf.GradConfig = {
  kernelName: tf.Tile,
  inputsToSave: ['x'],
  gradFunc: (dy, saved, attributes): Gradient => {
    const { reps } = attributes as unknown as tf.TileAttrs;
    const [x] = saved as [tf.Tensor];
    // Each repeated dimension as two: the repetition, which is summed, and the dimension itself.
    const split = x.shape.flatMap((dim, i) => (reps[i] === 1 ? [dim] : [reps[i] as number, dim]));
    const axes = reps.flatMap((rep, i) =>
      rep === 1 ? [] : [i + reps.slice(0, i).filter((r) => r !== 1).length],
    );
    return { x: () => (axes.length === 0 ? (dy as tf.Tensor) : (dy as tf.Tensor).reshape(split).sum(axes)) };
  },
};

let repaired = false;

/** Registers the gradients of this file, once in a process. */
export function repairGradients(): void {
  if (repaired) return;
  repaired = true;
  const gradients = [
    ...NOT_SUMMED.map(summed),
    ...LISTS.map(listed),
    ...STEPS.map(zero),
    cumsum,
    gatherND,
    tile,
  ];
  for (const gradient of gradients) tf.registerGradient(gradient);
}
