import type { ModelConfig } from '../config/model.ts';
import { roundLength, type TextBatch } from './inputs.ts';
import { type Row, ropeIndex } from './positions.ts';
import type { ScoredPlaces } from './score.ts';

/** A prompt with its responses, which are text: an image token in them is one like any other. */
export interface Family {
  prompt: Row;
  responses: readonly (readonly number[])[];
}

/** Families on one row: all prompts, then all responses; the prompts are the batch's sequences. */
export interface FamilyBatch extends TextBatch {
  shared: NonNullable<TextBatch['shared']>;
}

/**
 * Lays families out for the decoder so that what the responses of a prompt share is computed once. Families with fewer
 * responses than others get empty ones.
 *
 * @throws DataError if the image tokens of a prompt do not fit its grids
 */
export function layOutFamilies(families: readonly Family[], config: ModelConfig): FamilyBatch {
  const shared = {
    prompts: families.length,
    promptLength: roundLength(Math.max(...families.map(({ prompt }) => prompt.ids.length))),
    samples: Math.max(...families.map(({ responses }) => responses.length)),
    responseLength: roundLength(
      Math.max(1, ...families.flatMap(({ responses }) => responses.map(({ length }) => length))),
    ),
  };
  const { prompts, promptLength, samples, responseLength } = shared;
  const length = prompts * promptLength + prompts * samples * responseLength;
  const ids = new Int32Array(length);
  const positions = new Int32Array(3 * length);
  let next = 0;
  families.forEach(({ prompt, responses }, f) => {
    const { thw, next: after } = ropeIndex(prompt, config, f);
    ids.set(prompt.ids, f * promptLength);
    thw.forEach((axis, a) => {
      positions.set(axis, a * length + f * promptLength);
    });
    responses.forEach((response, g) => {
      const start = responseStart(shared, f, g);
      ids.set(response, start);
      for (let a = 0; a < 3; a++) {
        for (let i = 0; i < response.length; i++) positions[a * length + start + i] = after + i;
      }
      next = Math.max(next, after + response.length);
    });
  });
  return {
    rows: 1,
    length,
    lengths: families.map(({ prompt }) => prompt.ids.length),
    starts: families.map((_, f) => f * promptLength),
    ids,
    positions,
    next: [next],
    shared,
  };
}

/** The places at which the tokens of the responses are predicted: family after family, response after response. */
export function placesOfFamilies(
  families: readonly Family[],
  { shared, lengths }: FamilyBatch,
): ScoredPlaces {
  const rows: number[] = [];
  const targets: number[] = [];
  families.forEach(({ responses }, f) => {
    const last = f * shared.promptLength + (lengths[f] as number) - 1;
    responses.forEach((response, g) => {
      const start = responseStart(shared, f, g);
      response.forEach((token, i) => {
        rows.push(i === 0 ? last : start + i - 1);
        targets.push(token);
      });
    });
  });
  return { rows: Int32Array.from(rows), targets: Int32Array.from(targets) };
}

/* Place of the first token of response g of family f. */
const responseStart = (
  { prompts, promptLength, samples, responseLength }: FamilyBatch['shared'],
  f: number,
  g: number,
): number => prompts * promptLength + (f * samples + g) * responseLength;
