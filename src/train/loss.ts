import * as tf from '@tensorflow/tfjs';
import { ConfigError, DataError } from '../common/errors.ts';
import { layOutText, type ModelInputs, rowsOf } from '../model/inputs.ts';
import type { Qwen25VL } from '../model/qwen25vl.ts';
import { padPlaces, type ScoredPlaces } from '../model/score.ts';
import type { Gradients, Vjp } from './vjp.ts';

/** Inputs with the token that is to be predicted at each place, -100 where none is. */
export interface LabelledInputs extends ModelInputs {
  /** as long as `inputIds` */
  labels: number[][];
}

/** Which parameters to differentiate by: all, or those whose released names one of the patterns matches. */
export type Trainable = 'all' | readonly (string | RegExp)[];

const IGNORED = -100;

/** What some rows add to a step. */
export interface Supervised {
  /** sum of the labels' cross-entropies */
  loss: number;
  /** labels that count */
  tokens: number;
  gradients: Gradients;
}

/**
 * The cross-entropies of the labels, and the gradient of `weight * sum` by the released names of the parameters.
 *
 * @param weightOf of the number of labels: 1 / n for their mean; where several batches make a step, 1 / (labels of all)
 *   for the mean of all tokens, 1 / (n batches) for the mean of means
 * @throws DataError if labels and inputs do not fit, or no token has a label
 */
export async function supervise(
  model: Qwen25VL,
  vjp: Vjp,
  inputs: LabelledInputs,
  trainable: ReadonlySet<string>,
  weightOf: (tokens: number) => number,
): Promise<Supervised> {
  const rows = rowsOf(inputs, model.config);
  const batch = layOutText(rows, model.config);
  const labelled = labelledPlaces(inputs, batch.length);
  const tokens = labelled.rows.length;
  const places = padPlaces(labelled, batch.ids.length);
  const weights = new Float32Array(places.rows.length).fill(-weightOf(tokens), 0, tokens);
  const coefficients = tf.tensor1d(weights);
  const { logProbs, gradients } = await vjp({
    inputs,
    rows,
    batch,
    places,
    data: { coefficients },
    temperature: 1,
    trainable,
  });
  coefficients.dispose();
  return { loss: -logProbs.subarray(0, tokens).reduce((sum, x) => sum + x, 0), tokens, gradients };
}

/**
 * The mean cross-entropy of the labels, and its gradient by the released names of the parameters. Errors as
 * `supervise`.
 *
 * @throws ConfigError if a pattern matches no parameter
 */
export async function lossAndGradients(
  model: Qwen25VL,
  vjp: Vjp,
  inputs: LabelledInputs,
  trainable: Trainable,
): Promise<{ loss: number; gradients: Gradients }> {
  const names = trainableNames(model, trainable);
  const { loss, tokens, gradients } = await supervise(model, vjp, inputs, names, (n) => 1 / n);
  return { loss: loss / tokens, gradients };
}

/** Names of the parameters that are trained. */
export function trainableNames({ parameters }: Qwen25VL, trainable: Trainable): Set<string> {
  if (trainable === 'all') return new Set(parameters.keys());
  const names = trainable.flatMap((pattern) => {
    const matched = [...parameters.keys()].filter((name) => new RegExp(pattern).test(name));
    if (matched.length > 0) return matched;
    throw new ConfigError(
      `The pattern ${String(pattern)} matches no parameter. Names are as released, such as ` +
        'model.layers.0.self_attn.q_proj.weight or visual.merger.mlp.0.bias.',
    );
  });
  return new Set(names);
}

function labelledPlaces({ inputIds, attentionMask, labels }: LabelledInputs, length: number): ScoredPlaces {
  const rows: number[] = [];
  const targets: number[] = [];
  inputIds.forEach((ids, b) => {
    if (labels[b]?.length !== ids.length) {
      throw new DataError(
        `labels[${b}] has ${labels[b]?.length ?? 0} places; inputIds[${b}] has ${ids.length}. Both have to be equal.`,
      );
    }
    let at = 0;
    ids.forEach((_, l) => {
      if (attentionMask[b]?.[l] === 0) return;
      const label = labels[b]?.[l] as number;
      if (label !== IGNORED && at > 0) {
        rows.push(b * length + at - 1);
        targets.push(label);
      }
      at++;
    });
  });
  if (rows.length > 0) return { rows: Int32Array.from(rows), targets: Int32Array.from(targets) };
  throw new DataError(
    'No token has a label: all of labels is -100 (the first token of a row is never predicted).',
  );
}
