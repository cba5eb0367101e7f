import * as tf from '@tensorflow/tfjs';
import { ConfigError, DataError } from '../common/errors.ts';
import { type Family, layOutFamilies, placesOfFamilies } from './families.ts';
import { assertTokens, layOutText, type ModelInputs, roundLength, rowsOf, type TextBatch } from './inputs.ts';
import type { Row } from './positions.ts';
import {
  deviceInputs,
  encodeImages,
  imagesOf,
  type ImageInputs,
  type ImagesOfRows,
  type Qwen25VL,
} from './qwen25vl.ts';

/** Of each token of each response. */
export interface ResponseScores {
  logProbs: Float32Array[];
  entropies: Float32Array[];
}

/** Some tokens of a batch, and where the model predicts them. */
export interface ScoredPlaces {
  /** place (of B L) of the token before each of them: there the model predicts it */
  rows: Int32Array;
  targets: Int32Array;
}

/**
 * Log-probability, at a temperature, and entropy of given responses, without gradient. What the responses of a prompt
 * share is computed once.
 *
 * @param responses of the first prompt, then of the second, and so on: as many for each. A response may be empty
 * @throws DataError if inputs and responses do not fit one another, or a response holds a token outside of the vocabulary
 * @throws ConfigError if the temperature is not a number above 0
 */
export async function score(
  model: Qwen25VL,
  inputs: ModelInputs,
  responses: readonly (readonly number[])[],
  { temperature = 1 }: { temperature?: number } = {},
): Promise<ResponseScores> {
  if (!(temperature > 0 && temperature < Infinity)) {
    throw new ConfigError(`score: temperature is ${temperature}; a number above 0 was expected.`);
  }
  const prompts = rowsOf(inputs, model.config);
  const each = responsesOfEach(prompts.length, responses.length);
  responses.forEach((response, i) => {
    assertTokens(response, `responses[${i}]`, model.config);
  });
  // An image token that was drawn is one like any other there, as it was when it was drawn.
  const hasImageToken = responses.some((response) => response.includes(model.config.imageTokenId));
  if (each > 1 || hasImageToken) {
    const families = prompts.map((prompt, i) => ({
      prompt,
      responses: responses.slice(i * each, (i + 1) * each),
    }));
    return scoreFamilies(model, inputs, families, temperature);
  }
  return scoreRows(model, inputs, prompts, responses, temperature);
}

/* A single response goes on its prompt's row, where attention is one causal product. */
async function scoreRows(
  model: Qwen25VL,
  inputs: ImageInputs,
  prompts: readonly Row[],
  responses: readonly (readonly number[])[],
  temperature: number,
): Promise<ResponseScores> {
  const responseOf = (i: number): readonly number[] => responses[i] as readonly number[];
  const rows = prompts.map(({ ids, grids }, i): Row => ({ ids: [...ids, ...responseOf(i)], grids }));
  using images = encodeImages(model, inputs);
  const ofRows = imagesOf(images, rows);
  const result: ResponseScores = { logProbs: [], entropies: [] };
  for (const { members, length } of alikeIn(rows)) {
    const own = members.map((i) => rows[i] as Row);
    const batch = layOutText(own, model.config, length);
    const ends = members.map((i) => ({ ...(rows[i] as Row), from: (prompts[i] as Row).ids.length }));
    const laidOut = { rows: own, batch, places: placesOf(ends, length) };
    const scores = await scorePlaces(model, ofRows(members), laidOut, members.map(responseOf), temperature);
    members.forEach((i, b) => {
      result.logProbs[i] = scores.logProbs[b] as Float32Array;
      result.entropies[i] = scores.entropies[b] as Float32Array;
    });
  }
  return result;
}

/* From so many tokens on, rows are computed together. */
const TOKENS_TOGETHER = 1024;

/*
 * Rows that are computed together: those of one padded length, so that no row's numbers follow from how long another is.
 * Few tokens are computed row by row: a product's last bits follow from how many rows it has.
 */
function alikeIn(rows: readonly Row[]): { members: number[]; length: number }[] {
  const byLength = new Map<number, number[]>();
  rows.forEach(({ ids }, i) => {
    const length = roundLength(ids.length);
    byLength.set(length, [...(byLength.get(length) ?? []), i]);
  });
  return [...byLength].flatMap(([length, members]) =>
    members.length * length >= TOKENS_TOGETHER
      ? [{ members, length }]
      : members.map((member) => ({ members: [member], length })),
  );
}

/**
 * As `score`, of prompts with any number of responses each, in order; any token may be in them.
 * @param inputs the images of the prompts
 * @throws DataError if the image tokens of a prompt do not fit its grids
 */
export async function scoreFamilies(
  model: Qwen25VL,
  inputs: ImageInputs,
  families: readonly Family[],
  temperature: number,
): Promise<ResponseScores> {
  using images = encodeImages(model, inputs);
  const batch = layOutFamilies(families, model.config);
  const laidOut = {
    rows: families.map(({ prompt }) => prompt),
    batch,
    places: placesOfFamilies(families, batch),
  };
  const responses = families.flatMap((family) => family.responses);
  return await scorePlaces(model, images, laidOut, responses, temperature);
}

async function scorePlaces(
  model: Qwen25VL,
  images: ImagesOfRows,
  { rows, batch, places }: { rows: readonly Row[]; batch: TextBatch; places: ScoredPlaces },
  responses: readonly (readonly number[])[],
  temperature: number,
): Promise<ResponseScores> {
  if (places.targets.length === 0) {
    const none = responses.map(() => new Float32Array(0));
    return { logProbs: none, entropies: none };
  }
  const padded = padPlaces(places, batch.ids.length);
  const scores = tf.tidy(() => {
    const scores = model.text.score(
      deviceInputs(model, rows, batch, images),
      model.text.tables(Math.max(...batch.next)),
      tf.tensor1d(padded.rows, 'int32'),
      tf.tensor1d(padded.targets, 'int32'),
      temperature,
    );
    return [scores.logProbs, scores.entropies];
  });
  const [logProbs, entropies] = await Promise.all(scores.map((tensor) => tensor.data<'float32'>()));
  tf.dispose(scores);
  return {
    logProbs: split(logProbs as Float32Array, responses),
    entropies: split(entropies as Float32Array, responses),
  };
}

function responsesOfEach(prompts: number, responses: number): number {
  const each = responses / prompts;
  if (Number.isInteger(each) && each > 0) return each;
  throw new DataError(
    `${responses} responses were given for ${prompts} prompts. Give as many for each prompt, those of a prompt in a row.`,
  );
}

/** The places at which the tokens from `from` on are predicted, row after row. */
export function placesOf(
  sequences: readonly { from: number; ids: readonly number[] }[],
  length: number,
): ScoredPlaces {
  const rows: number[] = [];
  const targets: number[] = [];
  sequences.forEach(({ from, ids }, b) => {
    for (let at = Math.max(from, 1); at < ids.length; at++) {
      rows.push(b * length + at - 1);
      targets.push(ids[at] as number);
    }
  });
  return { rows: Int32Array.from(rows), targets: Int32Array.from(targets) };
}

/* Parts of a batch's places to which their number is rounded up. */
const PARTS = 8;

/**
 * Adds places that nobody asks for, so that their number is one of a few: each is another shape, which is compiled anew.
 * @param all B L
 */
export function padPlaces({ rows, targets }: ScoredPlaces, all: number): ScoredPlaces {
  const part = Math.ceil(all / PARTS);
  const count = Math.ceil(rows.length / part) * part;
  const padded = (values: Int32Array): Int32Array => {
    const result = new Int32Array(count);
    result.set(values);
    return result;
  };
  return { rows: padded(rows), targets: padded(targets) };
}

function split(values: Float32Array, like: readonly (readonly number[])[]): Float32Array[] {
  let from = 0;
  return like.map(({ length }) => values.slice(from, (from += length)));
}
