import * as tf from '@tensorflow/tfjs';
import { causalAttention } from './causalAttention.ts';

/** Prompts, then their responses, behind one another in one row: F P places, then F G R. */
export interface SharedPrompts {
  /** F */
  prompts: number;
  /** P: places of each prompt */
  promptLength: number;
  /** G: responses of each prompt */
  samples: number;
  /** R: places of each response */
  responseLength: number;
}

// Queries of a response are taken in chunks of so many: each multiplies with the keys up to its end only.
const CHUNK = 256;

/**
 * Causal attention where the responses of a prompt share it: a prompt's tokens see the prompt up to themselves, a
 * response's tokens their whole prompt and their response up to themselves. Several query heads may share a key and
 * value head (grouped-query attention): head n reads `n K / N`.
 *
 * @param q `[1, N, T, D]`, T = F P + F G R
 * @param k `[1, K, T, D]`, K a divisor of N
 * @param v `[1, K, T, D]`
 * @param lengths int32 `[F]`: tokens of each prompt; what is behind them in its places is padding
 * @returns `[1, N, T, D]`
 */
export function sharedPromptAttention(
  q: tf.Tensor,
  k: tf.Tensor,
  v: tf.Tensor,
  lengths: tf.Tensor,
  shape: SharedPrompts,
): tf.Tensor {
  const [, heads, , headSize] = q.shape as [number, number, number, number];
  const [[qPrompt, qResponse], [kPrompt, kResponse], [vPrompt, vResponse]] = [q, k, v].map((x) =>
    apart(x, shape),
  ) as [Parts, Parts, Parts];
  const ofPrompts = causalAttention(qPrompt, kPrompt, vPrompt).transpose([1, 0, 2, 3]);
  const ofResponses = responseAttention(
    { q: qResponse, k: kResponse, v: vResponse, kPrompt, vPrompt },
    lengths,
    shape,
  );
  const rows = [ofPrompts, ofResponses].map((x) => x.reshape([heads, -1, headSize]));
  return tf.concat(rows, 1).expandDims(0);
}

type Parts = [prompt_FNPD: tf.Tensor, response_NFGRD: tf.Tensor];

/* The prompts' part of [1, N, T, D], and the responses'. */
function apart(x: tf.Tensor, { prompts, promptLength, samples, responseLength }: SharedPrompts): Parts {
  const [, heads, , headSize] = x.shape as [number, number, number, number];
  const places = [prompts * promptLength, prompts * samples * responseLength];
  const [prompt, response] = tf.split(x, places, 2) as [tf.Tensor, tf.Tensor];
  return [
    prompt.reshape([heads, prompts, promptLength, headSize]).transpose([1, 0, 2, 3]),
    response.reshape([heads, prompts, samples, responseLength, headSize]),
  ];
}

interface ResponseParts {
  q: tf.Tensor;
  k: tf.Tensor;
  v: tf.Tensor;
  kPrompt: tf.Tensor;
  vPrompt: tf.Tensor;
}

/*
 * [N, F, G, R, D]. M = F K G rows of keys that a response has for itself, each with its N / K query heads; a product with
 * the prompt takes those of all G responses at once.
 */
function responseAttention(
  parts: ResponseParts,
  lengths: tf.Tensor,
  { prompts, promptLength, samples, responseLength }: SharedPrompts,
): tf.Tensor {
  const [heads, , , , headSize] = parts.q.shape as [number, number, number, number, number];
  const keyHeads = parts.k.shape[0];
  const group = heads / keyHeads;
  const width = responseLength * headSize;
  const q_MgRD = parts.q
    .mul(1 / Math.sqrt(headSize))
    .reshape([keyHeads, group, prompts, samples, width])
    .transpose([2, 0, 3, 1, 4])
    .reshape([-1, group, responseLength, headSize]);
  const [k_MRD, v_MRD] = [parts.k, parts.v].map((x) =>
    x
      .reshape([keyHeads, prompts, samples, width])
      .transpose([1, 0, 2, 3])
      .reshape([-1, responseLength, headSize]),
  ) as [tf.Tensor, tf.Tensor];
  const [kPrompt, vPrompt] = [parts.kPrompt, parts.vPrompt].map((x) =>
    x.reshape([prompts * keyHeads, promptLength, headSize]),
  ) as [tf.Tensor, tf.Tensor];
  const padding = paddingBias(lengths, promptLength, keyHeads);

  const chunks = chunksOf(responseLength).map(([begin, end]) => {
    const rows = group * (end - begin);
    const q_MCD = q_MgRD.slice([0, 0, begin, 0], [-1, -1, end - begin, -1]).reshape([-1, rows, headSize]);
    const keys = (x: tf.Tensor): tf.Tensor => x.slice([0, 0, 0], [-1, end, -1]);
    const onPrompt = tf
      .matMul(q_MCD.reshape([prompts * keyHeads, samples * rows, headSize]), kPrompt, false, true)
      .add(padding)
      .reshape([-1, rows, promptLength]);
    const onOwn = tf.matMul(q_MCD, keys(k_MRD), false, true).add(causalBias(begin, end).tile([group, 1]));
    const weights = tf.softmax(tf.concat([onPrompt, onOwn], -1));
    const [toPrompt, toOwn] = tf.split(weights, [promptLength, end], -1) as [tf.Tensor, tf.Tensor];
    return tf
      .matMul(toPrompt.reshape([prompts * keyHeads, samples * rows, promptLength]), vPrompt)
      .reshape([-1, rows, headSize])
      .add(tf.matMul(toOwn, keys(v_MRD)))
      .reshape([-1, group, end - begin, headSize]);
  });
  return (chunks.length === 1 ? (chunks[0] as tf.Tensor) : tf.concat(chunks, 2))
    .reshape([prompts, keyHeads, samples, group, width])
    .transpose([1, 3, 0, 2, 4])
    .reshape([heads, prompts, samples, responseLength, headSize]);
}

function chunksOf(length: number): [begin: number, end: number][] {
  const count = Math.ceil(length / CHUNK);
  return Array.from({ length: count }, (_, i) => [i * CHUNK, Math.min((i + 1) * CHUNK, length)]);
}

/* 0 at a prompt's tokens, else a score that vanishes: [F K, 1, P]. */
function paddingBias(lengths_F: tf.Tensor, length: number, keyHeads: number): tf.Tensor {
  const isPadding = tf.range(0, length, 1, 'int32').greaterEqual(lengths_F.expandDims(1));
  return tf.where(isPadding, -1e9, 0).expandDims(1).tile([1, keyHeads, 1]).reshape([-1, 1, length]);
}

/* 0 where key <= query, else a score that vanishes: [queries of a chunk, keys up to its end]. */
function causalBias(begin: number, end: number): tf.Tensor {
  const query = tf.range(begin, end, 1, 'int32').expandDims(1);
  return tf.where(tf.greaterEqual(query, tf.range(0, end, 1, 'int32')), 0, -1e9);
}
