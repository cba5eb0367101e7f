import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../common/errors.ts';
import { readRange } from '../common/files.ts';
import {
  orCannotWrite,
  readSafetensorsHeader,
  type TensorContent,
  writeSafetensors,
} from '../model/safetensors.ts';
import type { Prepared } from './update.ts';

/** Log-probabilities of the tokens of a step's trained responses, one response after another. */
export interface TokenRecord {
  /** tokens of each response */
  lengths: Float32Array;
  logProbs: Float32Array;
  oldLogProbs: Float32Array;
  negLogProbs?: Float32Array;
  refLogProbs?: Float32Array;
}

const PARTS = ['logProbs', 'oldLogProbs', 'negLogProbs', 'refLogProbs'] as const;
const fileOf = (run: string, step: number): string => join(run, 'tokens', `step-${step}.safetensors`);

/**
 * Writes what `replay` needs of a step to a run's folder, and deletes what is older than so many steps.
 * @throws CheckpointError if it cannot be written
 */
export function saveTokenRecord(
  run: string,
  step: number,
  responses: readonly Prepared[],
  keepSteps: number,
): void {
  const folder = join(run, 'tokens');
  orCannotWrite(folder, () => mkdirSync(folder, { recursive: true }));
  const tensors = new Map([['lengths', contentOf(responses.map(({ response }) => response.tokens.length))]]);
  for (const part of PARTS) {
    if (responses.some((one) => one[part] === undefined)) continue;
    tensors.set(part, contentOf(responses.flatMap((one) => [...(one[part] as Float32Array)])));
  }
  writeSafetensors(fileOf(run, step), tensors);
  for (const name of readdirSync(folder)) {
    const number = Number(/^step-(\d+)\./.exec(name)?.[1]);
    if (number <= step - keepSteps) rmSync(join(folder, name));
  }
}

/** Reads what a step left. @throws ConfigError if the run has nothing of that step */
export function loadTokenRecord(run: string, step: number): TokenRecord {
  const file = fileOf(run, step);
  if (!existsSync(file)) {
    const folder = join(run, 'tokens');
    const kept = existsSync(folder)
      ? readdirSync(folder)
          .map((name) => Number(/^step-(\d+)\./.exec(name)?.[1]))
          .sort((a, b) => a - b)
      : [];
    throw new ConfigError(
      `${run} has no log-probabilities of step ${step}; ${kept.length === 0 ? 'it has none at all' : `it has those of ${kept[0]} to ${kept.at(-1)}`}. ` +
        'generations.keepSteps of the config says how many steps are kept.',
    );
  }
  const { tensors } = readSafetensorsHeader(file);
  const read = (name: string): Float32Array | undefined => {
    const stored = tensors.get(name);
    if (stored === undefined) return undefined;
    const values = new Float32Array(stored.shape.reduce((product, size) => product * size, 1));
    readRange(file, stored.offset, new Uint8Array(values.buffer));
    return values;
  };
  return Object.fromEntries(
    ['lengths', ...PARTS].flatMap((name) => {
      const values = read(name);
      return values === undefined ? [] : [[name, values]];
    }),
  ) as unknown as TokenRecord;
}

function contentOf(values: readonly number[]): TensorContent {
  const data = Float32Array.from(values);
  return { dtype: 'F32', shape: [data.length], bytes: () => new Uint8Array(data.buffer) };
}
