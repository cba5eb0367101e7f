import * as tf from '@tensorflow/tfjs';

// Queries are taken in at least so many chunks: each multiplies with the keys up to its end only, 5/8 of all for four.
const CHUNKS = 4;
// So that a long sequence has no more scores at once than this many for each key and head.
const MAX_CHUNK = 256;
// Up to this length the backward pass keeps the weights of the forward pass; beyond, it computes them again.
const KEPT_LENGTH = 1024;

/**
 * Causal attention, `softmax(q k^T / sqrt(D)) v` over the keys at or before each query. Several query heads may share
 * a key and value head (grouped-query attention, Ainslie et al. 2023): head n reads `n K / N`.
 *
 * The gradient of the softmax follows from the output (delta = rowsum(dO o O), as in FlashAttention, Dao et al. 2022,
 * section B.2).
 *
 * @param q `[B, N, L, D]`
 * @param k `[B, K, L, D]`, K a divisor of N
 * @param v `[B, K, L, D]`
 * @returns `[B, N, L, D]`
 */
export function causalAttention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor {
  const [batch, heads, length, headSize] = q.shape as [number, number, number, number];
  const keyHeads = k.shape[1] as number;
  const op = tf.customGrad((...args: unknown[]) => {
    const [q_MGLD, k_MLD, v_MLD, save] = args as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    return forward(q_MGLD, k_MLD, v_MLD, save);
  });
  // M = B K key heads, each with G = N / K query heads
  return op(
    q.reshape([batch * keyHeads, heads / keyHeads, length, headSize]),
    k.reshape([batch * keyHeads, length, headSize]),
    v.reshape([batch * keyHeads, length, headSize]),
  ).reshape([batch, heads, length, headSize]);
}

type Chunk = readonly [begin: number, end: number];

function chunksOf(length: number): Chunk[] {
  const size = Math.min(Math.ceil(length / CHUNKS), MAX_CHUNK);
  const count = Math.ceil(length / size);
  return Array.from({ length: count }, (_, i) => [i * size, Math.min((i + 1) * size, length)]);
}

/* The queries of a chunk, those of all heads of a group in a row: [M, G c, D]. */
function queries(x_MGLD: tf.Tensor, [begin, end]: Chunk): tf.Tensor {
  const [m, group, , depth] = x_MGLD.shape as [number, number, number, number];
  return slice(x_MGLD, 2, begin, end).reshape([m, group * (end - begin), depth]);
}
const keys = (x_MLD: tf.Tensor, [, end]: Chunk): tf.Tensor => slice(x_MLD, 1, 0, end);

function slice(x: tf.Tensor, axis: number, begin: number, end: number): tf.Tensor {
  const from = x.shape.map((_, i) => (i === axis ? begin : 0));
  const size = x.shape.map((dim, i) => (i === axis ? end - begin : dim));
  return tf.slice(x, from, size);
}

/* 0 where key <= query, else a score that vanishes: [G c, keys] of a chunk. */
function mask([begin, end]: Chunk, group: number): tf.Tensor {
  const query = tf.range(begin, end, 1, 'int32').expandDims(1);
  const mask_CS = tf.where(tf.greaterEqual(query, tf.range(0, end, 1, 'int32')), 0, -1e9);
  return group === 1 ? mask_CS : mask_CS.tile([group, 1]);
}

function weightsOf(scaled_MGLD: tf.Tensor, k_MLD: tf.Tensor, chunk: Chunk): tf.Tensor {
  const scores = tf.matMul(queries(scaled_MGLD, chunk), keys(k_MLD, chunk), false, true);
  return tf.softmax(scores.add(mask(chunk, scaled_MGLD.shape[1] as number)));
}

function forward(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, save: tf.GradSaveFunc): Forward {
  const [m, group, length, headSize] = q.shape as [number, number, number, number];
  const scale = 1 / Math.sqrt(headSize);
  const chunks = chunksOf(length);
  const scaled = q.mul(scale);
  const kept: tf.Tensor[] = [];
  const parts = chunks.map((chunk) => {
    const weights = weightsOf(scaled, k, chunk);
    if (length <= KEPT_LENGTH) kept.push(weights);
    return tf.matMul(weights, keys(v, chunk)).reshape([m, group, chunk[1] - chunk[0], headSize]);
  });
  const out = tf.concat(parts, 2);
  save([scaled, k, v, out, ...kept]);
  return { value: out, gradFunc: (dOut, saved) => backward(dOut, saved, chunks, scale) };
}
interface Forward {
  value: tf.Tensor;
  gradFunc: (dOut: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor[];
}

function backward(dOut: tf.Tensor, saved: tf.Tensor[], chunks: readonly Chunk[], scale: number): tf.Tensor[] {
  const [q, k, v, out, ...kept] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, ...tf.Tensor[]];
  const delta = dOut.mul(out).sum(-1, true);
  const parts = chunks.map((chunk, i) => {
    const p = kept[i] ?? weightsOf(q, k, chunk);
    const dRows = queries(dOut, chunk);
    const dScores = p.mul(tf.matMul(dRows, keys(v, chunk), false, true).sub(queries(delta, chunk)));
    const [m, group, , headSize] = q.shape as [number, number, number, number];
    return {
      dq: tf.matMul(dScores, keys(k, chunk)).reshape([m, group, chunk[1] - chunk[0], headSize]),
      // (a^T P)^T rather than P^T a: the small factor is the one that is transposed.
      dkT: tf.matMul(transpose(queries(q, chunk)), dScores),
      dvT: tf.matMul(transpose(dRows), p),
    };
  });
  const dq = tf.concat(
    parts.map((part) => part.dq),
    2,
  );
  const [dk, dv] = [parts.map(({ dkT }) => dkT), parts.map(({ dvT }) => dvT)].map((prefixes) =>
    transpose(sumOfPrefixes(prefixes)),
  ) as [tf.Tensor, tf.Tensor];
  return [dq.mul(scale), dk, dv];
}

const transpose = (x: tf.Tensor): tf.Tensor => x.transpose([0, 2, 1]);

/* Adds tensors that reach further and further along the last axis. */
function sumOfPrefixes(parts: readonly tf.Tensor[]): tf.Tensor {
  return parts.reduce((sum, part) => {
    const done = sum.shape.at(-1) as number;
    const [overlap, more] = tf.split(part, [done, (part.shape.at(-1) as number) - done], -1) as [
      tf.Tensor,
      tf.Tensor,
    ];
    return tf.concat([sum.add(overlap), more], -1);
  });
}
