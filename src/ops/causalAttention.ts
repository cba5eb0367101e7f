import * as tf from '@tensorflow/tfjs';

// Queries are taken in so many chunks: each multiplies with the keys up to its end only, 5/8 of all for four chunks.
const CHUNKS = 4;

/**
 * Causal attention, `softmax(q k^T / sqrt(D)) v` over the keys at or before each query.
 *
 * The gradient of the softmax follows from the output (delta = rowsum(dO o O), as in FlashAttention, Dao et al. 2022,
 * section B.2).
 *
 * @param q `[B, N, L, D]`
 * @param k `[B, N, L, D]`
 * @param v `[B, N, L, D]`
 * @returns `[B, N, L, D]`
 */
export function causalAttention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor {
  const op = tf.customGrad((...args: unknown[]) => {
    const [q_BNLD, k_BNLD, v_BNLD, save] = args as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    return forward(q_BNLD, k_BNLD, v_BNLD, save);
  });
  return op(q, k, v);
}

type Chunk = readonly [begin: number, end: number];

function chunksOf(length: number): Chunk[] {
  const size = Math.ceil(length / CHUNKS);
  const count = Math.ceil(length / size);
  return Array.from({ length: count }, (_, i) => [i * size, Math.min((i + 1) * size, length)]);
}

const rows = (x: tf.Tensor, [begin, end]: Chunk): tf.Tensor => slice(x, 2, begin, end);
const keys = (x: tf.Tensor, [, end]: Chunk): tf.Tensor => slice(x, 2, 0, end);

function slice(x: tf.Tensor, axis: number, begin: number, end: number): tf.Tensor {
  const from = x.shape.map((_, i) => (i === axis ? begin : 0));
  const size = x.shape.map((dim, i) => (i === axis ? end - begin : dim));
  return tf.slice(x, from, size);
}

/* 0 where key <= query, else a score that vanishes: [queries, keys] of a chunk. */
function mask([begin, end]: Chunk): tf.Tensor {
  const query = tf.range(begin, end, 1, 'int32').expandDims(1);
  return tf.where(tf.greaterEqual(query, tf.range(0, end, 1, 'int32')), 0, -1e9);
}

function forward(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, save: tf.GradSaveFunc): Forward {
  const [length, headSize] = q.shape.slice(2) as [number, number];
  const scale = 1 / Math.sqrt(headSize);
  const chunks = chunksOf(length);
  const scaled = q.mul(scale);
  const weights = chunks.map((chunk) =>
    tf.softmax(tf.matMul(rows(scaled, chunk), keys(k, chunk), false, true).add(mask(chunk))),
  );
  const out = tf.concat(
    chunks.map((chunk, i) => tf.matMul(weights[i] as tf.Tensor, keys(v, chunk))),
    2,
  );
  save([scaled, k, v, out, ...weights]);
  return { value: out, gradFunc: (dOut, saved) => backward(dOut, saved, chunks, scale) };
}
interface Forward {
  value: tf.Tensor;
  gradFunc: (dOut: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor[];
}

function backward(dOut: tf.Tensor, saved: tf.Tensor[], chunks: readonly Chunk[], scale: number): tf.Tensor[] {
  const [q, k, v, out, ...weights] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, ...tf.Tensor[]];
  const delta = dOut.mul(out).sum(-1, true);
  const parts = chunks.map((chunk, i) => {
    const p = weights[i] as tf.Tensor;
    const dRows = rows(dOut, chunk);
    const dScores = p.mul(tf.matMul(dRows, keys(v, chunk), false, true).sub(rows(delta, chunk)));
    return {
      dq: tf.matMul(dScores, keys(k, chunk)),
      // (a^T P)^T rather than P^T a: the small factor is the one that is transposed.
      dkT: tf.matMul(transpose(rows(q, chunk)), dScores),
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

const transpose = (x: tf.Tensor): tf.Tensor => x.transpose([0, 1, 3, 2]);

/* Adds tensors that reach further and further along the last axis. */
function sumOfPrefixes(parts: readonly tf.Tensor[]): tf.Tensor {
  return parts.reduce((sum, part) => {
    const done = sum.shape.at(-1) as number;
    const [overlap, more] = tf.split(part, [done, (part.shape.at(-1) as number) - done], 3) as [
      tf.Tensor,
      tf.Tensor,
    ];
    return tf.concat([sum.add(overlap), more], 3);
  });
}
