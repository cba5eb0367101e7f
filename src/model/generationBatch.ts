import * as tf from '@tensorflow/tfjs';
import type { Choice, Chosen, DecodeState } from './decode.ts';
import { noteSeen } from './decode.ts';
import { roundLength, type TextBatch } from './inputs.ts';
import { cacheOf, disposeCache, type KvCache, rearrangeCache } from './kvCache.ts';
import type { Qwen25VL } from './qwen25vl.ts';

/** A response that is being generated: a row of the batch. */
export interface Response {
  /** its number among all responses */
  row: number;
  /** the row of its prompt */
  prompt: number;
  /** random key */
  key: readonly [number, number];
  /** so far, the stop token included */
  tokens: number[];
  finished: boolean;
}

/** Chosen tokens on the host: n for each row of the batch. */
export interface ChosenOnHost {
  tokens: number[][];
  logProbs: number[][];
}

/** What a prefill leaves behind. */
export interface Prefilled {
  /** `[P, V]` of the last token of each prompt */
  logits: tf.Tensor;
  /** keys and values of each layer, `[P, K, L, D]` */
  caches: readonly { k: tf.Tensor; v: tf.Tensor }[];
}

/** Tokens that one call generates where the model is small; what is drawn after a stop token is lost. */
const TOKENS_AT_ONCE = 16;
/** Slots for generated tokens at first; they double when they are full. */
const FIRST_SLOTS = 128;

/** Responses that are generated side by side, with their cache on the device. */
export class GenerationBatch implements Disposable {
  /** the responses in the batch; finished ones stay until it pays to drop them */
  responses: readonly Response[];
  /** tokens that have been generated for each response that goes on */
  private made = 0;
  private cache: KvCache;
  /** logits `[B, V]` of the first token, until it is chosen */
  private first: tf.Tensor | undefined;
  /** `[B, V]`: 1 at tokens that occur; a scalar where no penalty asks for it */
  private seen: tf.Tensor;

  constructor(
    private readonly model: Qwen25VL,
    private readonly prompts: TextBatch,
    { logits, caches }: Prefilled,
    responses: readonly Response[],
    private readonly choice: Choice,
    private readonly maxNewTokens: number,
  ) {
    this.responses = responses;
    const owners = responses.map(({ prompt }) => prompt);
    this.cache = cacheOf(caches, owners, this.slotsFor(FIRST_SLOTS), model.cacheDType);
    this.first = tf.tidy(() => logits.gather(tf.tensor1d(owners, 'int32')));
    logits.dispose();
    this.seen = this.seenInPrompts();
  }

  /**
   * Chooses the next tokens: one for each response, or several at once where the model is small.
   * @param allowed under a constraint (which makes it one token at a time): the tokens that each response has to choose
   *   from; undefined: from all
   */
  next(allowed?: readonly (readonly number[] | undefined)[]): ChosenOnHost {
    const { nextMany } = this.model.decoder;
    const isFirst = this.first !== undefined;
    const count =
      isFirst || allowed !== undefined ? 1 : Math.min(TOKENS_AT_ONCE, this.maxNewTokens - this.made);
    const chosen = tf.tidy(() => {
      if (!isFirst && nextMany !== undefined && count > 1) {
        return nextMany(this.cache.layers, this.tables(), this.state(), this.choice, count);
      }
      const logits = this.first ?? this.model.decoder.next(this.cache.layers, this.tables(), this.state());
      return this.model.decoder.choose(logits, this.state(), this.choice, this.biasOf(allowed));
    });
    this.first?.dispose();
    this.first = undefined;
    this.note(chosen);
    const host = toHost(chosen);
    this.made += host.tokens[0]?.length ?? 0;
    return host;
  }

  /** Makes room for the tokens to come, and drops finished responses once that saves time. */
  tidyUp(): void {
    const [going, finished] = [false, true].map((is) =>
      this.responses.flatMap((response, i) => (response.finished === is ? [i] : [])),
    ) as [number[], number[]];
    // A smaller batch is another shape, which has to be compiled: only where it saves much, and powers of two only.
    const size = 2 ** Math.ceil(Math.log2(going.length));
    const drops = size <= this.responses.length / 2;
    const isFull = this.cache.slots < this.slotsFor(this.made + TOKENS_AT_ONCE);
    if (!drops && !isFull) return;
    const kept = drops
      ? [...going, ...finished.slice(0, size - going.length)]
      : this.responses.map((_, i) => i);
    const slots = isFull ? this.slotsFor(2 * this.made + FIRST_SLOTS) : this.cache.slots;
    this.cache = rearrangeCache(this.cache, kept, slots);
    this.responses = kept.map((i) => this.responses[i] as Response);
    if (this.choice.repetitionPenalty !== 1) {
      this.setSeen((seen) => seen.gather(tf.tensor1d(kept, 'int32')));
    }
  }

  [Symbol.dispose](): void {
    disposeCache(this.cache);
    tf.dispose([this.seen, ...(this.first === undefined ? [] : [this.first])]);
  }

  private tables() {
    return this.model.text.tables(Math.max(...this.prompts.next) + this.maxNewTokens);
  }

  /* Slots for the prompts and `generated` tokens behind them. */
  private slotsFor(generated: number): number {
    return roundLength(this.prompts.length + Math.min(generated, this.maxNewTokens));
  }

  private state(): DecodeState {
    const column = (of: (response: Response) => number): tf.Tensor =>
      tf.tensor1d(this.responses.map(of), 'int32');
    const { length, lengths, next } = this.prompts;
    return {
      token: column(({ tokens }) => tokens.at(-1) ?? 0),
      done: column(({ finished }) => Number(finished)).toBool(),
      position: column(({ prompt }) => (next[prompt] as number) + this.made - 1),
      slot: tf.scalar(length + this.made - 1, 'int32'),
      generatedFrom: tf.scalar(length, 'int32'),
      lengths: column(({ prompt }) => lengths[prompt] as number),
      keys: tf.tensor2d(
        this.responses.map(({ key }) => [...key]),
        undefined,
        'int32',
      ),
      seen: this.seen,
    };
  }

  /* [B, V]: 0 where a token is allowed, else very negative; undefined where all are. */
  private biasOf(allowed: readonly (readonly number[] | undefined)[] = []): tf.Tensor | undefined {
    if (allowed.every((tokens) => tokens === undefined)) return undefined;
    const { vocabSize } = this.model.config.text;
    const bias = new Float32Array(allowed.length * vocabSize);
    allowed.forEach((tokens, b) => {
      if (tokens === undefined) return;
      bias.fill(-1e30, b * vocabSize, (b + 1) * vocabSize);
      for (const token of tokens) bias[b * vocabSize + token] = 0;
    });
    return tf.tensor2d(bias, [allowed.length, vocabSize]);
  }

  private seenInPrompts(): tf.Tensor {
    if (this.choice.repetitionPenalty === 1) return tf.scalar(0);
    const { vocabSize } = this.model.config.text;
    const { length, lengths, ids } = this.prompts;
    const seen = new Float32Array(this.responses.length * vocabSize);
    this.responses.forEach(({ prompt }, b) => {
      const from = prompt * length;
      for (const id of ids.subarray(from, from + (lengths[prompt] as number))) seen[b * vocabSize + id] = 1;
    });
    return tf.tensor2d(seen, [this.responses.length, vocabSize]);
  }

  private note({ tokens }: Chosen): void {
    if (this.choice.repetitionPenalty === 1) return;
    this.setSeen((seen) =>
      tf.unstack(tokens, 1).reduce((all, token) => noteSeen(all, token, this.choice), seen),
    );
  }

  private setSeen(next: (seen: tf.Tensor) => tf.Tensor): void {
    const before = this.seen;
    this.seen = tf.tidy(() => next(before));
    before.dispose();
  }
}

function toHost({ tokens, logProbs }: Chosen): ChosenOnHost {
  const lists = (tensor: tf.Tensor): number[][] => {
    const [rows, count] = tensor.shape as [number, number];
    const data = tensor.dataSync();
    tensor.dispose();
    return Array.from({ length: rows }, (_, b) => Array.from(data.slice(b * count, (b + 1) * count)));
  };
  return { tokens: lists(tokens), logProbs: lists(logProbs) };
}
