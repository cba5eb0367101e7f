import * as tf from '@tensorflow/tfjs';
import { type SampleOptions, sampleTokens } from '../ops/sample.ts';
import { gumbel } from '../runtime/random.ts';
import { isOnGpu } from '../runtime/tensorflow/backend.ts';
import { whileLoop } from '../runtime/whileLoop.ts';
import { cachedLayer, type DecodeStep, type LayerCache, type Rotary, textRotaryAt } from './decoder.ts';
import type { CompiledFunctions, FlatParameters } from './functions.ts';
import type { TextModel } from './textModel.ts';

/** The state of a batch that is being generated, on the device. Row b's prompt fills the slots below `lengths[b]`. */
export interface DecodeState {
  /** int32 `[B]`: the token that each row goes on from */
  token: tf.Tensor;
  /** bool `[B]`: rows that need no more tokens */
  done: tf.Tensor;
  /** int32 `[B]`: its position */
  position: tf.Tensor;
  /** int32 scalar: the slot that it is written to */
  slot: tf.Tensor;
  /** int32 scalar: the slots from here on hold what was generated */
  generatedFrom: tf.Tensor;
  /** int32 `[B]`: slots of the prompt */
  lengths: tf.Tensor;
  /** int32 `[B, 2]`: random keys of the rows; the position of the token to draw is added */
  keys: tf.Tensor;
  /** `[B, V]`: 1 where a token occurs in the row, for the repetition penalty; else a scalar */
  seen: tf.Tensor;
}

/** What the next tokens are chosen by. */
export interface Choice extends SampleOptions {
  /** A row that has drawn one of these does not need the next token. */
  stopTokens: readonly number[];
}

/** Chosen tokens (int32) and their log-probabilities, `[B, n]`. */
export type Chosen = {
  tokens: tf.Tensor;
  logProbs: tf.Tensor;
};

/* Key heads of a batch up to which attention is sums, where XLA compiles it. */
const FEW_HEADS = 4;

/** The functions that generate, compiled over a model's parameters. */
export type Decoder = ReturnType<typeof createDecoder>;

/** Makes the functions that generate token after token over a cache. */
export function createDecoder(model: TextModel, { compiled, fused }: CompiledFunctions) {
  const { context, layers, embedding } = model;

  const cached = (
    flat: FlatParameters,
    cache: LayerCache,
    x_B1H: tf.Tensor,
    rotary: Rotary,
    step: DecodeStep,
  ): tf.Tensor => cachedLayer(model.tree(flat), cache, x_B1H, rotary, step, context);
  // One token is little work for a GPU, so launching the ops of a graph one by one takes twice as long as all of XLA's.
  const layer = compiled('cachedLayer', cached, { xla: isOnGpu() });

  const prepare = compiled('decodeStep', (tables: Rotary, state: DecodeState, slots: number) => ({
    x_B1H: embedding.gather(state.token.expandDims(1)),
    rotary: textRotaryAt(tables, state.position),
    bias: seenSlots(state, slots),
  }));

  /* Logits [B, V] of the token after `state.token`, which is added to the cache. */
  const next = (caches: readonly LayerCache[], tables: Rotary, state: DecodeState): tf.Tensor => {
    const [batch = 1, , slots = 1] = (caches[0] as LayerCache).k.shape;
    const products = fused && batch * context.config.numKeyValueHeads <= FEW_HEADS ? 'sums' : 'products';
    const { x_B1H, rotary, bias } = prepare(tables, state, slots);
    let x = x_B1H;
    layers.forEach((flat, i) => {
      const step: DecodeStep = { slot: state.slot as tf.Scalar, bias, products };
      const y = layer(flat, caches[i] as LayerCache, x, rotary, step);
      x.dispose();
      x = y;
    });
    const logits = model.logits(x.reshape([x.shape[0], -1]));
    tf.dispose([x, rotary.cos, rotary.sin, bias]);
    return logits;
  };

  const noise = compiled('noise', noiseOf);

  const chooseOne = compiled('choose', chooseTokens, { xla: true });
  /* The choice of a token for each row, from logits [B, V]. */
  const choose = (logits_BV: tf.Tensor, state: DecodeState, choice: Choice, bias_BV?: tf.Tensor): Chosen =>
    tf.tidy(() => {
      const noise_BV = noise(state, choice, 1, logits_BV.shape[1] as number).squeeze([0]);
      return chooseOne(logits_BV, state.seen, choice, noise_BV, bias_BV);
    });

  /* Up to `count` tokens, in one function. Ends early where every row has drawn a stop token. */
  const decodeMany = compiled(
    'decode',
    (
      caches: readonly LayerCache[],
      tables: Rotary,
      start: DecodeState,
      choice: Choice,
      noise_TBV: tf.Tensor,
    ): Chosen => {
      const count = noise_TBV.shape[0];
      const rows = start.token.shape[0];
      const column = tf.range(0, count, 1, 'int32');
      type Loop = Record<'i' | 'token' | 'done' | 'seen' | 'tokens' | 'logProbs', tf.Tensor>;
      const { tokens, logProbs } = whileLoop<Loop>(
        ({ i, done }) => i.less(count).logicalAnd(done.all().logicalNot()),
        ({ i, token, done, seen, tokens, logProbs }) => {
          const state = {
            ...start,
            token,
            seen,
            position: start.position.add(i),
            slot: start.slot.add(i),
          };
          const chosen = chooseTokens(next(caches, tables, state), seen, choice, tf.gather(noise_TBV, i));
          const token_B = chosen.tokens.reshape([rows]);
          const at = column.equal(i);
          return {
            i: i.add(tf.scalar(1, 'int32')),
            token: token_B,
            done: done.logicalOr(isOneOf(token_B, choice.stopTokens)),
            seen: noteSeen(seen, token_B, choice),
            tokens: tf.where(at, chosen.tokens, tokens),
            logProbs: tf.where(at, chosen.logProbs, logProbs),
          };
        },
        {
          i: tf.scalar(0, 'int32'),
          token: start.token,
          done: start.done,
          seen: start.seen,
          tokens: tf.zeros([rows, count], 'int32'),
          logProbs: tf.zeros([rows, count]),
        },
      );
      return { tokens, logProbs };
    },
    { xla: true },
  );

  const nextMany = (
    caches: readonly LayerCache[],
    tables: Rotary,
    state: DecodeState,
    choice: Choice,
    count: number,
  ): Chosen =>
    tf.tidy(() =>
      decodeMany(caches, tables, state, choice, noise(state, choice, count, embedding.shape[0] as number)),
    );

  return { next, choose, nextMany: fused ? nextMany : undefined };
}

/*
 * Gumbel noise [T, B, V] for the next T tokens; zeros of [T, 1, 1] where none is needed. It is a function of its own: where
 * XLA fuses Threefry with the loop around it, LLVM takes minutes (its search for CRCs in loops is exponential in xors).
 */
function noiseOf(
  { keys, slot, generatedFrom }: DecodeState,
  { temperature }: Choice,
  steps: number,
  vocabSize: number,
): tf.Tensor {
  if (temperature === 0) return tf.zeros([steps, 1, 1]);
  const rows = keys.shape[0];
  // The first token to draw is the one after the slot's.
  const count_T = tf.range(0, steps, 1, 'int32').add(slot.sub(generatedFrom));
  const step_T12 = tf.stack([tf.zerosLike(count_T), count_T], 1).expandDims(1);
  const keys_TB2 = keys.expandDims(0).add(step_T12);
  return gumbel(keys_TB2.reshape([steps * rows, 2]), [steps * rows, vocabSize]).reshape([
    steps,
    rows,
    vocabSize,
  ]);
}

function chooseTokens(
  logits_BV: tf.Tensor,
  seen: tf.Tensor,
  choice: Choice,
  noise_BV: tf.Tensor,
  bias_BV?: tf.Tensor,
): Chosen {
  const { tokens, logProbs } = sampleTokens(logits_BV, choice, noise_BV, seen, bias_BV);
  return { tokens: tokens.expandDims(1), logProbs: logProbs.expandDims(1) };
}

/** Adds tokens (int32 `[B]`) to those that the repetition penalty knows. */
export function noteSeen(seen: tf.Tensor, tokens: tf.Tensor, { repetitionPenalty }: Choice): tf.Tensor {
  if (repetitionPenalty === 1) return seen;
  const vocabulary = tf.range(0, seen.shape[1] as number, 1, 'int32');
  return tf.maximum(seen, vocabulary.equal(tokens.expandDims(1)).toFloat());
}

function isOneOf(tokens: tf.Tensor, ids: readonly number[]): tf.Tensor {
  if (ids.length === 0) return tf.zerosLike(tokens).toBool();
  return tokens
    .expandDims(1)
    .equal(tf.tensor1d([...ids], 'int32'))
    .any(1);
}

/* [B, 1, 1, S]: 0 at the slots of each row's prompt and of what was generated, the one that is written now included. */
function seenSlots({ lengths, slot, generatedFrom }: DecodeState, slots: number): tf.Tensor {
  const slots_S = tf.range(0, slots, 1, 'int32');
  const ofPrompt = slots_S.less(lengths.expandDims(1));
  const generated = slots_S.greaterEqual(generatedFrom).logicalAnd(slots_S.lessEqual(slot));
  return tf.where(ofPrompt.logicalOr(generated), 0, -1e9).reshape([-1, 1, 1, slots]);
}
