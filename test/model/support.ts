import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseModelConfig } from '../../src/config/model.ts';
import { readJson } from '../../src/common/json.ts';
import { loadParameters } from '../../src/model/checkpoint.ts';
import type { ModelInputs } from '../../src/model/inputs.ts';
import { createQwen25VL, type Qwen25VL } from '../../src/model/qwen25vl.ts';
import type { Compute } from '../../src/runtime/index.ts';
import { type Golden, GOLDENS, readGolden } from '../support/safetensors.ts';

export const MODELS = fileURLToPath(new URL('model/', GOLDENS));

/** Loads a checkpoint of the goldens; the parameters are freed with it. */
export function loadGoldenModel(
  name: string,
  { dtype = 'float32', compute = 'float32' }: { dtype?: 'float32' | 'bfloat16'; compute?: Compute } = {},
): Qwen25VL {
  const folder = `${MODELS}${name}`;
  const config = parseModelConfig(readJson(`${folder}/config.json`), `${folder}/config.json`);
  const parameters = loadParameters(folder, config, { dtype });
  const model = createQwen25VL(config, parameters, { compute });
  return {
    ...model,
    [Symbol.dispose]: () => {
      model[Symbol.dispose]();
      for (const variable of parameters.values()) variable.dispose();
    },
  };
}

const matrix = ({ shape, data }: Golden): number[][] => {
  const [rows = 0, columns = 0] = shape;
  return Array.from({ length: rows }, (_, i) => Array.from(data.slice(i * columns, (i + 1) * columns)));
};

/** Inputs of a golden file, as transformers' processor would make them. */
export function toInputs(golden: Record<string, Golden>): ModelInputs {
  return {
    inputIds: matrix(golden.input_ids as Golden),
    attentionMask: matrix(golden.attention_mask as Golden),
    pixelValues: (golden.pixel_values?.data as Float32Array | undefined) ?? null,
    imageGridThw: golden.image_grid_thw === undefined ? [] : matrix(golden.image_grid_thw),
  };
}

/** A case of a model of the goldens. */
export function readCase(
  model: string,
  name: string,
): {
  inputs: ModelInputs;
  golden: Record<string, Golden>;
  floors: Record<string, number>;
} {
  const folder = `${MODELS}${model}/cases/${name}`;
  const meta = JSON.parse(readFileSync(`${folder}/meta.json`, 'utf8')) as {
    max_abs_diff_f32_vs_f64: Record<string, number>;
  };
  return {
    inputs: toInputs(readGolden(`${folder}/inputs.safetensors`)),
    golden: readGolden(`${folder}/golden.safetensors`),
    floors: meta.max_abs_diff_f32_vs_f64,
  };
}

/** The largest difference at the places that count (`mask`, one for each row of `width` values). */
export function largestDifference(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  mask: readonly number[] = [1],
): number {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} values, expected ${expected.length}`);
  }
  const width = actual.length / mask.length;
  let largest = 0;
  for (let i = 0; i < actual.length; i++) {
    if (mask[Math.floor(i / width)] === 0) continue;
    const difference = Math.abs((actual[i] as number) - (expected[i] as number));
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

export const CASES = ['text_only', 'one_image', 'two_images', 'batch_left', 'batch_right'] as const;
