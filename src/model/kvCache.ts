import * as tf from '@tensorflow/tfjs';
import { compile } from '../runtime/compile.ts';
import type { VariableDType } from '../runtime/storage.ts';
import { Variable } from '../runtime/variable.ts';
import type { LayerCache } from './decoder.ts';

/**
 * The keys `[B, K D, S]` and values `[B, S, K D]` of a batch, for each layer. A row's prompt lies in the slots from 0 on; what is
 * generated goes to the same slots for all rows, behind the longest prompt.
 */
export interface KvCache {
  layers: readonly LayerCache[];
  /** B */
  rows: number;
  /** S */
  slots: number;
}

/* The axis of the slots. */
const SLOTS = { k: 2, v: 1 };

/* Takes rows (int32 [B]) of keys or values, and makes room for as many slots as asked for. */
const rearrange = compile(
  (x: tf.Tensor, rows: tf.Tensor, slots: number, axis: number) => {
    const picked = x.gather(rows);
    const more = slots - (x.shape[axis] as number);
    if (more > 0) return tf.pad(picked, x.shape.map((_, i) => [0, i === axis ? more : 0])); // prettier-ignore
    const size = x.shape.map((_, i) => (i === axis ? slots : -1));
    return picked.slice([0, 0, 0], size);
  },
  { name: 'rearrange', xla: false },
);

/* Keys or values [P, K, L, D] as they lie in the cache. */
function inCacheOrder(x: tf.Tensor, part: 'k' | 'v'): tf.Tensor {
  const [rows, heads, length, headSize] = x.shape as [number, number, number, number];
  return part === 'k'
    ? x.transpose([0, 1, 3, 2]).reshape([rows, heads * headSize, length])
    : x.transpose([0, 2, 1, 3]).reshape([rows, length, heads * headSize]);
}

/**
 * Makes a cache of what a prefill computed.
 * @param layers keys and values `[P, K, L, D]`; freed
 * @param rows for each row of the cache, the row of the prefill that it begins with
 */
export function cacheOf(
  layers: readonly { k: tf.Tensor; v: tf.Tensor }[],
  rows: readonly number[],
  slots: number,
  dtype: VariableDType,
): KvCache {
  return {
    rows: rows.length,
    slots,
    layers: mapLayers(layers, rows, slots, inCacheOrder, dtype),
  };
}

/**
 * The same cache for some of its rows, and for more slots; the one that is given is freed.
 * @param rows rows to keep
 */
export function rearrangeCache(cache: KvCache, rows: readonly number[], slots: number): KvCache {
  const dtype = cache.layers[0]?.k.dtype ?? 'float32';
  return {
    rows: rows.length,
    slots,
    layers: mapLayers(cache.layers, rows, slots, (variable) => variable.read(), dtype),
  };
}

/** Frees a cache. */
export function disposeCache({ layers }: KvCache): void {
  for (const { k, v } of layers) {
    k.dispose();
    v.dispose();
  }
}

function mapLayers<T extends Variable | tf.Tensor>(
  layers: readonly { k: T; v: T }[],
  rows: readonly number[],
  slots: number,
  read: (tensor: T, part: 'k' | 'v') => tf.Tensor,
  dtype: VariableDType,
): LayerCache[] {
  using index = held(tf.tensor1d([...rows], 'int32'));
  return layers.map((layer) => {
    const [k, v] = (['k', 'v'] as const).map((part) => {
      const made: Variable[] = [];
      tf.tidy(() => {
        const value = rearrange(read(layer[part], part), index.tensor, slots, SLOTS[part]);
        made.push(Variable.fromTensor(value, { dtype, name: 'cache' }));
      });
      layer[part].dispose();
      return made[0];
    });
    return { k, v } as LayerCache;
  });
}

const held = (tensor: tf.Tensor): { tensor: tf.Tensor } & Disposable => ({
  tensor,
  [Symbol.dispose]: () => {
    tensor.dispose();
  },
});
