import * as tf from '@tensorflow/tfjs';
import type { TapoLoss } from '../config/tapoLoss.ts';
import type { TripletPicture } from '../data/triplets.ts';
import { layOutFamilies, placesOfFamilies } from '../model/families.ts';
import { roundLength } from '../model/inputs.ts';
import type { Qwen25VL } from '../model/qwen25vl.ts';
import { padPlaces } from '../model/score.ts';
import { compile } from '../runtime/compile.ts';
import { type CoefficientData, type CoefficientsOf, createVjp, type Gradients } from '../train/vjp.ts';
import type { Response } from './groups.ts';
import { measure } from './measures.ts';
import { familiesOf, type Member, seenTogether } from './microBatch.ts';
import { objective, type ObjectiveInputs } from './objective.ts';

/** What is known of a response before it is trained on. */
export interface Prepared extends Member {
  advantage: number;
  /** of each token, by the policy that drew it; undefined where that is the policy which is trained, still */
  oldLogProbs: Float32Array | undefined;
  /** with the negative picture, before the update; undefined where the update computes them, or nothing needs them */
  negLogProbs: Float32Array | undefined;
  refLogProbs: Float32Array | undefined;
  /** by the policy when the response was first trained on */
  logProbs?: Float32Array;
  /** what a token of it weighs (`tokenWeights`) */
  weights: { policy: number; entropy: number; sft: number };
}

/** What a micro-batch gives. */
export interface MicroResult {
  gradients: Gradients;
  /** for `joinMeasures` */
  measures: Float32Array;
  /** of each response's tokens, by the policy that is trained */
  logProbs: Float32Array[];
  /** the same with the negative picture, where they were computed here */
  negLogProbs: Float32Array[] | undefined;
  /** tokens of prompts and responses that were computed, each once, and places with the padding */
  tokens: number;
  places: number;
}

/** Differentiates the objective. */
export interface Updater extends Disposable {
  /** @param annealing factor of gamma and of the entropies */
  microBatch(prepared: readonly Prepared[], annealing: number): Promise<MicroResult>;
}

export interface UpdaterOptions {
  loss: TapoLoss;
  temperature: number;
  /** released names of the parameters that are trained */
  trainable: ReadonlySet<string>;
  checkpointing: 'auto' | 'none' | 'blocks';
}

/**
 * Makes what differentiates the objective of responses by the parameters. The log-probabilities, their coefficients in
 * the gradient and the gradient are computed in one pass; where the variant asks for the negative's gradient, the same
 * responses are computed behind the negative pictures in the same pass.
 */
export function createUpdater(
  model: Qwen25VL,
  { loss, temperature, trainable, checkpointing }: UpdaterOptions,
): Updater {
  const coefficientsOf: CoefficientsOf = (logProbs, data) => {
    const { dLogProbs, dNegLogProbs } = objective(inputsOf(logProbs, data), loss);
    const cells = [dLogProbs, ...(loss.negativeGradient ? [dNegLogProbs] : [])];
    return tf
      .concat(cells.map((cell) => cell.reshape([-1])))
      .gather(data.cell as tf.Tensor)
      .mul(data.counts as tf.Tensor);
  };
  const vjp = createVjp(model, {
    coefficientsOf,
    ...(checkpointing === 'auto' ? {} : { checkpointing }),
  });
  const measureAt = compile(
    (logProbs: tf.Tensor, data: CoefficientData) => {
      const inputs = inputsOf(logProbs, data);
      return measure(inputs, objective(inputs, loss), loss);
    },
    { name: 'measureObjective' },
  );
  const pictureOf = ({ picture }: Response): TripletPicture =>
    loss.trainPositiveOn === 'anchor' ? 'anchor' : picture;
  return {
    microBatch: async (prepared, annealing) => {
      const own = seenTogether(prepared, pictureOf);
      // With the negatives in the same groups of responses, all prompts have as many.
      const negatives = loss.negativeGradient
        ? own.map((seen) => ({ ...seen, picture: 'negative' as const }))
        : [];
      const { families, images } = familiesOf([...own, ...negatives]);
      const batch = layOutFamilies(families, model.config);
      const exact = placesOfFamilies(families, batch);
      const places = padPlaces(exact, batch.ids.length);
      const data = dataOf(prepared, places.rows.length, annealing, loss.negativeGradient);
      const { logProbs, gradients } = await vjp({
        inputs: images,
        rows: families.map(({ prompt }) => prompt),
        batch,
        places,
        data,
        temperature,
        trainable,
      });
      const measures = tf.tidy(() => measureAt(tf.tensor1d(logProbs), data));
      const result = {
        gradients,
        measures: await measures.data<'float32'>(),
        logProbs: byResponse(logProbs, prepared),
        negLogProbs: loss.negativeGradient
          ? byResponse(logProbs.subarray(exact.rows.length / 2), prepared)
          : undefined,
        tokens: exact.rows.length + families.reduce((sum, { prompt }) => sum + prompt.ids.length, 0),
        places: batch.ids.length,
      };
      tf.dispose([measures, ...Object.values(data)]);
      return result;
    },
    [Symbol.dispose]: () => {
      measureAt.dispose();
    },
  };
}

/* The objective's inputs from log-probabilities as the vjp has them: one after another, those of the negatives last. */
function inputsOf(logProbs_P: tf.Tensor, data: CoefficientData): ObjectiveInputs {
  const at = (index: tf.Tensor): tf.Tensor => logProbs_P.gather(index);
  const negative = data.atNegative === undefined ? data.negLogProbs : at(data.atNegative);
  return {
    logProbs: at(data.at as tf.Tensor),
    ...(data.oldLogProbs && { oldLogProbs: data.oldLogProbs }),
    ...(negative && { negLogProbs: negative }),
    ...(data.refLogProbs && { refLogProbs: data.refLogProbs }),
    advantages: data.advantages as tf.Tensor,
    mask: data.mask as tf.Tensor,
    weights: {
      policy: data.policy as tf.Tensor,
      entropy: data.entropy as tf.Tensor,
      sft: data.sft as tf.Tensor,
    },
    annealing: data.annealing as tf.Tensor,
  };
}

/*
 * The rest of the inputs, [B, R] and [B, 1], and how they lie among the places: `at` (and `atNegative`) [B, R] says the
 * place of a token, `cell` [P] the token of a place, `counts` [P] is 0 at padding.
 */
function dataOf(
  prepared: readonly Prepared[],
  places: number,
  annealing: number,
  hasNegatives: boolean,
): Record<string, tf.Tensor> {
  const lengths = prepared.map(({ response }) => response.tokens.length);
  const [rows, width] = [prepared.length, roundLength(Math.max(...lengths))];
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const [at, cell] = [new Int32Array(rows * width), new Int32Array(places)];
  const mask = new Float32Array(rows * width);
  let next = 0;
  lengths.forEach((length, b) => {
    for (let t = 0; t < length; t++, next++) {
      at[b * width + t] = next;
      mask[b * width + t] = 1;
      cell[next] = b * width + t;
      if (hasNegatives) cell[tokens + next] = rows * width + b * width + t;
    }
  });
  const counts = new Float32Array(places).fill(1, 0, hasNegatives ? 2 * tokens : tokens);
  const matrix = (values: Float32Array): tf.Tensor => tf.tensor2d(values, [rows, width]);
  const column = (of: (one: Prepared) => number): tf.Tensor => tf.tensor2d(prepared.map(of), [rows, 1]);
  const known = (name: 'oldLogProbs' | 'negLogProbs' | 'refLogProbs'): Record<string, tf.Tensor> => {
    if (prepared.some((one) => one[name] === undefined)) return {};
    const values = new Float32Array(rows * width);
    prepared.forEach((one, b) => {
      values.set(one[name] as Float32Array, b * width);
    });
    return { [name]: matrix(values) };
  };
  return {
    at: tf.tensor2d(at, [rows, width], 'int32'),
    ...(hasNegatives && {
      atNegative: tf.tensor2d(
        at.map((place, i) => (mask[i] === 1 ? tokens + place : 0)),
        [rows, width],
        'int32',
      ),
    }),
    cell: tf.tensor1d(cell, 'int32'),
    counts: tf.tensor1d(counts),
    mask: matrix(mask),
    ...known('oldLogProbs'),
    ...(hasNegatives ? {} : known('negLogProbs')),
    ...known('refLogProbs'),
    advantages: column(({ advantage }) => advantage),
    policy: column(({ weights }) => weights.policy),
    entropy: column(({ weights }) => weights.entropy),
    sft: column(({ weights }) => weights.sft),
    annealing: tf.scalar(annealing),
  };
}

/* The first of the values are those of the responses' tokens, in order. */
function byResponse(values: Float32Array, prepared: readonly Prepared[]): Float32Array[] {
  let from = 0;
  return prepared.map(({ response }) => values.slice(from, (from += response.tokens.length)));
}
