import * as tf from '@tensorflow/tfjs';
import { causalLayer, type Rotary, rotaryAt, type SharedRow } from '../model/decoder.ts';
import { type FlatParameters, flatPart } from '../model/functions.ts';
import { multiply, valueOf, type Weight } from '../model/project.ts';
import type { Qwen25VL } from '../model/qwen25vl.ts';
import { chunksOf, embedTokens, type TextInputs } from '../model/textModel.ts';
import { logProbsVjp } from '../ops/logProbs.ts';
import { rmsNorm } from '../ops/rmsNorm.ts';
import { linearVjp, matMul } from '../runtime/linear.ts';
import { type Compute, isFasterAsGraph } from '../runtime/tensorflow/multiply.ts';
import { Variable } from '../runtime/variable.ts';
import type { Checkpointing, CoefficientData, CoefficientsOf, Gradients } from './vjp.ts';

/** What the decoder is differentiated at. */
export interface TextVjpInputs extends TextInputs {
  tables: Rotary;
  /** int32 `[R]`: the places (of B L) before the tokens that count */
  rows: tf.Tensor;
  /** int32 `[R]` */
  targets: tf.Tensor;
  /** what the coefficients are made of */
  data: CoefficientData;
  temperature: number;
  trainable: ReadonlySet<string>;
  /** whether the gradient with respect to the images' features is wanted */
  trainsVision: boolean;
}

/** Log-probabilities, and gradients of `sum(coefficients * logProbs)`. */
export interface TextVjpResult {
  /** `[R]` */
  logProbs: tf.Tensor;
  gradients: Gradients;
  /** `[F, H]` */
  dFeatures: tf.Tensor | undefined;
}

export type TextVjp = (inputs: TextVjpInputs) => TextVjpResult;

const EMBEDDING = 'model.embed_tokens.weight';
const NORM = 'model.norm.weight';
const HEAD = 'lm_head.weight';

/** Makes the decoder's vector-Jacobian product, with or without checkpoints. */
export function createTextVjp(
  model: Qwen25VL,
  checkpointing: Checkpointing,
  coefficientsOf: CoefficientsOf | undefined,
): TextVjp {
  return checkpointing === 'none' ? createWhole(model, coefficientsOf) : createBlocks(model, coefficientsOf);
}

/** Parameters with some of them replaced by tensors, by which is differentiated. */
function withLeaves(
  parameters: ReadonlyMap<string, Variable>,
  names: readonly string[],
  leaves: readonly tf.Tensor[],
): ReadonlyMap<string, Weight> {
  const leafOf = new Map<string, Weight>(names.map((name, i) => [name, leaves[i] as tf.Tensor]));
  return new Map([...parameters, ...leafOf]);
}

const given: CoefficientsOf = (_, { coefficients }) => coefficients as tf.Tensor;

/* The whole decoder as one function. */
function createWhole(
  { config, text, parameters, functions }: Qwen25VL,
  coefficientsOf: CoefficientsOf = given,
): TextVjp {
  const run = functions.compiled(
    'vjp',
    (
      inputs: Omit<TextVjpInputs, 'trainable' | 'trainsVision' | 'tables'>,
      tables: Rotary,
      names: readonly string[],
      trainsVision: boolean,
    ) => {
      const { images, rows, targets, data, temperature } = inputs;
      const leaves = names.map((name) => (parameters.get(name) as Variable).read());
      const forward = (...args: tf.Tensor[]): tf.Tensor => {
        const weights = withLeaves(parameters, names, args);
        const features = trainsVision ? args.at(-1) : images?.features;
        const seen = images && { images: { ...images, features: features as tf.Tensor } };
        let x_BLH = embedTokens(weights.get(EMBEDDING) as Weight, { ...inputs, ...seen });
        const rotary = rotaryAt(tables, inputs.positions, config.text);
        for (let i = 0; i < config.text.numLayers; i++) {
          const flat = flatPart(weights, `model.layers.${i}.`);
          x_BLH = causalLayer(text.tree(flat), x_BLH, rotary, text.context, inputs.shared);
        }
        const picked_RH = x_BLH.reshape([-1, config.text.hiddenSize]).gather(rows);
        const normed_RH = rmsNorm(picked_RH, valueOf(weights.get(NORM) as Weight), config.text.rmsNormEps);
        const head = (weights.get(HEAD) ?? weights.get(EMBEDDING)) as Weight;
        const ofLogProbs = (logProbs: tf.Tensor): tf.Tensor => coefficientsOf(logProbs, data);
        return scoredHead(normed_RH, head, targets, ofLogProbs, temperature, text.context.compute);
      };
      const args = trainsVision && images ? [...leaves, images.features] : leaves;
      const { value, grads } = tf.valueAndGrads(forward)(args, tf.onesLike(targets).toFloat());
      return { logProbs: value, grads };
    },
    { xla: !isFasterAsGraph(config.text.hiddenSize) },
  );
  return ({ trainable, trainsVision, tables, ...inputs }) => {
    const names = [...parameters.keys()].filter((name) => trainable.has(name) && !name.startsWith('visual.'));
    const wantsFeatures = trainsVision && inputs.images !== undefined;
    if (names.length === 0 && !wantsFeatures) {
      const { rows, targets, temperature, ...text_ } = inputs;
      const { logProbs, entropies } = text.score(textOnly(text_), tables, rows, targets, temperature);
      entropies.dispose();
      return { logProbs, gradients: new Map(), dFeatures: undefined };
    }
    const { logProbs, grads } = run(inputs, tables, names, wantsFeatures);
    const gradients: Gradients = new Map(names.map((name, i) => [name, grads[i] as tf.Tensor]));
    return {
      logProbs,
      gradients,
      dFeatures: wantsFeatures ? grads.at(-1) : undefined,
    };
  };
}

const textOnly = ({ ids, positions, images, shared }: TextInputs): TextInputs => ({
  ids,
  positions,
  ...(images && { images }),
  ...(shared && { shared }),
});

/*
 * Log-probabilities [R]; the gradient is that of sum(coefficients logProbs), whatever comes from
 * above: it is computed together with the value, so that no logits have to be kept.
 */
function scoredHead(
  x_RH: tf.Tensor,
  head: Weight,
  targets: tf.Tensor,
  coefficientsOf: (logProbs: tf.Tensor) => tf.Tensor,
  temperature: number,
  compute: Compute,
): tf.Tensor {
  const trains = head instanceof tf.Tensor;
  const op = tf.customGrad((...args: unknown[]) => {
    const save = args.at(-1) as tf.GradSaveFunc;
    const [h_RH, weight = head] = args.slice(0, -1) as [tf.Tensor, tf.Tensor?];
    const logits_RV = multiply(h_RH, weight, compute).div(temperature);
    const { logProbs, dLogits } = logProbsVjp(logits_RV, targets, coefficientsOf);
    const d_RV = temperature === 1 ? dLogits : dLogits.div(temperature);
    save(
      weight instanceof Variable
        ? [linearVjp(d_RV, weight, { compute })]
        : [
            matMul(d_RV as tf.Tensor2D, weight as tf.Tensor2D, { compute }),
            matMul(d_RV as tf.Tensor2D, h_RH as tf.Tensor2D, { transposeA: true, compute }),
          ],
    );
    return {
      value: logProbs,
      // What was saved is tfjs's to free.
      gradFunc: (_: tf.Tensor, saved: tf.Tensor[]) => saved.map((gradient) => gradient.clone()),
    };
  });
  return trains ? op(x_RH, head) : op(x_RH);
}

/* Layer by layer: one layer's intermediate values live at a time. */
function createBlocks(model: Qwen25VL, coefficientsOf: CoefficientsOf | undefined): TextVjp {
  const { config, text, parameters, functions } = model;
  const layerVjp = functions.compiled(
    'layerVjp',
    (
      flat: FlatParameters,
      names: readonly string[],
      x_BLH: tf.Tensor,
      rotary: Rotary,
      shared: SharedRow | undefined,
      dy_BLH: tf.Tensor,
    ) => {
      const leaves = names.map((name) => (flat[name] as Variable).read());
      const layer = (x: tf.Tensor, ...args: tf.Tensor[]): tf.Tensor => {
        const weights = {
          ...flat,
          ...Object.fromEntries(names.map((name, i) => [name, args[i] as tf.Tensor])),
        };
        return causalLayer(text.tree(weights), x, rotary, text.context, shared);
      };
      const [dx, ...grads] = tf.grads(layer)([x_BLH, ...leaves], dy_BLH) as [tf.Tensor, ...tf.Tensor[]];
      return { dx, grads };
    },
  );
  const headVjp = functions.compiled(
    'headVjp',
    (
      x_RH: tf.Tensor,
      targets: tf.Tensor,
      coefficients: tf.Tensor,
      temperature: number,
      trainsNorm: boolean,
      trainsHead: boolean,
    ) => {
      const leaves = [...(trainsNorm ? [text.norm.read()] : []), ...(trainsHead ? [text.head.read()] : [])];
      const score = (x: tf.Tensor, ...args: tf.Tensor[]): tf.Tensor => {
        const norm = trainsNorm ? (args[0] as tf.Tensor) : text.norm.read();
        const head = trainsHead ? (args.at(-1) as tf.Tensor) : text.head;
        const normed_RH = rmsNorm(x, norm, config.text.rmsNormEps);
        return scoredHead(normed_RH, head, targets, () => coefficients, temperature, text.context.compute);
      };
      const { value, grads } = tf.valueAndGrads(score)([x_RH, ...leaves], tf.onesLike(targets).toFloat());
      return { logProbs: value, grads };
    },
  );
  const scatter = functions.compiled('scatter', (dx_RH: tf.Tensor, rows: tf.Tensor, b: number, l: number) =>
    tf.unsortedSegmentSum(dx_RH, rows as tf.Tensor1D, b * l).reshape([b, l, config.text.hiddenSize]),
  );
  const embedVjp = functions.compiled(
    'embedVjp',
    (inputs: TextInputs, dx_BLH: tf.Tensor, trainsEmbedding: boolean, trainsVision: boolean) => {
      const { images } = inputs;
      const leaves = [
        ...(trainsEmbedding ? [text.embedding.read()] : []),
        ...(trainsVision && images ? [images.features] : []),
      ];
      const embed = (...args: tf.Tensor[]): tf.Tensor =>
        embedTokens(trainsEmbedding ? (args[0] as tf.Tensor) : text.embedding, {
          ...inputs,
          ...(images && {
            images: { ...images, features: trainsVision ? (args.at(-1) as tf.Tensor) : images.features },
          }),
        });
      return tf.grads(embed)(leaves, dx_BLH);
    },
  );

  const coefficientsFrom = coefficientsOf && functions.compiled('coefficients', coefficientsOf);

  return ({ tables, rows, targets, data, temperature, trainable, trainsVision, ...rest }) => {
    const inputs = textOnly(rest);
    const gradients: Gradients = new Map();
    const add = (name: string, gradient: tf.Tensor): void => {
      const before = gradients.get(name);
      gradients.set(name, before === undefined ? gradient : before.add(gradient));
      if (before !== undefined) tf.dispose([before, gradient]);
    };
    const headName = parameters.has(HEAD) ? HEAD : EMBEDDING;
    const [trainsNorm, trainsHead] = [trainable.has(NORM), trainable.has(headName)];
    const trainsEmbedding = trainable.has(EMBEDDING);
    const wantsFeatures = trainsVision && inputs.images !== undefined;
    const trainedOf = (i: number): string[] =>
      Object.keys(text.layers[i] as FlatParameters).filter((name) =>
        trainable.has(`model.layers.${i}.${name}`),
      );
    // Nothing below the lowest layer that is trained has to be differentiated.
    const lowest = text.layers.findIndex((_, i) => trainedOf(i).length > 0);
    const stop = trainsEmbedding || wantsFeatures ? 0 : lowest === -1 ? text.layers.length : lowest;

    const rotary = text.rotary(tables, inputs.positions);
    const kept: tf.Tensor[] = [];
    let x_BLH = text.embed(text.embedding, inputs);
    text.layers.forEach((flat, i) => {
      const y_BLH = text.layer(flat, x_BLH, rotary, inputs.shared);
      if (i >= stop) kept[i] = x_BLH;
      else x_BLH.dispose();
      x_BLH = y_BLH;
    });

    const [batch, length] = x_BLH.shape as [number, number];
    const coefficients =
      coefficientsFrom === undefined
        ? given(rows, data).clone()
        : tf.tidy(() => coefficientsFrom(text.scorePlaces(x_BLH, rows, targets, temperature).logProbs, data));
    const parts = chunksOf(rows.size, config.text.vocabSize).map(([begin, size]) => {
      const x_RH = tf.tidy(() => text.select(x_BLH, rows.slice(begin, size)));
      const targets_R = targets.slice(begin, size);
      const coefficients_R = coefficients.slice(begin, size);
      const { logProbs, grads } = headVjp(
        x_RH,
        targets_R,
        coefficients_R,
        temperature,
        trainsNorm,
        trainsHead,
      );
      tf.dispose([x_RH, targets_R, coefficients_R]);
      if (trainsNorm) add(NORM, grads[1] as tf.Tensor);
      if (trainsHead) add(headName, grads.at(-1) as tf.Tensor);
      return { logProbs, dx: grads[0] as tf.Tensor };
    });
    tf.dispose([x_BLH, coefficients]);
    const join = (part: 'logProbs' | 'dx'): tf.Tensor => {
      const joined = tf.concat(parts.map((one) => one[part]));
      tf.dispose(parts.map((one) => one[part]));
      return joined;
    };
    const logProbs = join('logProbs');
    const dx_RH = join('dx');
    let dx_BLH = scatter(dx_RH, rows, batch, length);
    dx_RH.dispose();

    for (let i = text.layers.length - 1; i >= stop; i--) {
      const names = trainedOf(i);
      const { dx, grads } = layerVjp(
        text.layers[i] as FlatParameters,
        names,
        kept[i] as tf.Tensor,
        rotary,
        inputs.shared,
        dx_BLH,
      );
      tf.dispose([dx_BLH, kept[i]]);
      dx_BLH = dx;
      names.forEach((name, n) => {
        add(`model.layers.${i}.${name}`, grads[n] as tf.Tensor);
      });
    }
    let dFeatures: tf.Tensor | undefined;
    if (trainsEmbedding || wantsFeatures) {
      const grads = embedVjp(inputs, dx_BLH, trainsEmbedding, wantsFeatures);
      if (trainsEmbedding) add(EMBEDDING, grads[0] as tf.Tensor);
      if (wantsFeatures) dFeatures = grads.at(-1);
    }
    tf.dispose([dx_BLH, rotary.cos, rotary.sin]);
    return { logProbs, gradients, dFeatures };
  };
}
