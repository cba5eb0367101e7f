import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { type AnswerRecord, openAnswers, writeJson } from '../../src/eval/answers.ts';
import { sumUp } from '../../src/eval/results.ts';
import { judge } from '../../src/eval/rules.ts';
import { createImageHashes, generationRows } from '../../src/tapo/generations.ts';
import type { Group, Response } from '../../src/tapo/groups.ts';
import { reward } from '../../src/tapo/reward.ts';
import type { Prepared } from '../../src/tapo/update.ts';
import { openRun } from '../../src/train/run/runFolder.ts';

/*
 * Runs without a model, written by the code that writes those of models: what a report cannot read of them, it could not read of
 * any.
 */

/** Draws small pictures, each in a colour of its own, and gives their paths. */
export async function drawPictures(folder: string, count: number): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const file = join(folder, `${i}.png`);
      const background = { r: (i * 53) % 256, g: (i * 101) % 256, b: (i * 29) % 256 };
      await sharp({ create: { width: 64, height: 64, channels: 3, background } })
        .png()
        .toFile(file);
      return file;
    }),
  );
}

export const think = (name: string, thoughts = 'a red cap'): string =>
  `<think>${thoughts}</think>\n<answer>${name}</answer>`;

export interface TapoRunOptions {
  classes: readonly string[];
  /** anchor, positive and negative of a triplet each */
  pictures: readonly string[];
  steps: number;
  groupsPerStep: number;
  /** what the policy says about a class: of the responses to a prompt, this one */
  respond: (label: string, step: number, sample: number) => string;
  figures?: (step: number) => Record<string, number>;
}

const RESPONSES = 10;

/** Writes the folder of a TAPO run, with a triplet for each class. */
export function writeTapoRun(folder: string, options: TapoRunOptions): void {
  const { classes, steps, groupsPerStep, figures } = options;
  using run = openRun(folder, {
    config: { rollout: { n1: 5, n2: 5 }, alarms: { minFormat: 0.5, afterSteps: 3 } },
    resume: false,
  });
  run.note({
    backend: { backend: 'tensorflow', device: 'CPU', why: 'it was there' },
    ...{
      model: '/models/base',
      seed: 1,
      data: { '/data/triplets.jsonl': 'ab12' },
      weights: { 'a.safetensors': 'cd34' },
    },
    predicted: { steps, seconds: 100, memoryBytes: 2 ** 30 },
    ...{ rowsTooLong: 0, classes, totalSteps: steps },
  });
  const hashOf = createImageHashes();
  for (let step = 1; step <= steps; step++) {
    const groups = Array.from({ length: groupsPerStep }, (_, i) =>
      groupOf((step - 1) * groupsPerStep + i, step, options),
    );
    const trained = groups.flatMap(({ responses }) => responses.map(toPrepared));
    run.logGenerations(generationRows(step, groups, trained, hashOf));
    const all = groups.flatMap(({ responses }) => responses);
    const mean = (part: 'strict' | 'format'): number =>
      all.reduce((sum, one) => sum + one.reward[part], 0) / all.length;
    run.logStep({
      ...{ step, loss: 1 / step, skipped: 0, tokens: 1000, 'length/mean': 60, 'groups/drawn': groups.length },
      ...{
        'reward/strict': mean('strict'),
        'reward/format': mean('format'),
        truncated: 0,
        'loss/entropy': 0.3,
      },
      ...figures?.(step),
    });
  }
  run.note({ actual: { steps, seconds: 120, memoryBytes: 2 ** 31 } });
  run.end('finished');
}

function groupOf(number: number, step: number, { classes, pictures, respond }: TapoRunOptions): Group {
  const row = number % classes.length;
  const label = classes[row] as string;
  const pictureOf = (i: number) => ({ image: pictures[(3 * row + i) % pictures.length] as string, ids: [] });
  const triplet = {
    ...{ anchor: pictureOf(0), positive: pictureOf(1), negative: pictureOf(2) },
    ...{
      origin: { file: 'triplets.jsonl', row },
      prompt: `Which one is it? (${row})`,
      answer: label,
      options: [],
    },
  };
  const responses = Array.from({ length: RESPONSES }, (_, i): Response => {
    const text = respond(label, step, i);
    return {
      picture: i < RESPONSES / 2 ? 'anchor' : 'positive',
      sample: i % (RESPONSES / 2),
      tokens: [1, 2, 3],
      logProbs: [-1, -1, -1],
      truncated: false,
      text,
      reward: reward(text, label, { classes }),
    };
  });
  return { number: row, triplet, responses, images: {} as Group['images'] };
}

const toPrepared = (response: Response, i: number): Prepared =>
  ({ response, advantage: i % 2 === 0 ? 0.75 : -0.75 }) as Prepared;

/** Writes the folder of an SFT run. */
export function writeSftRun(
  folder: string,
  steps: number,
  figures: (step: number) => Record<string, number>,
): void {
  using run = openRun(folder, { config: { epochs: 1 }, resume: false });
  for (let step = 1; step <= steps; step++) {
    run.logStep({ step, loss: 2 / step, skipped: 0, tokens: 1000, seconds: 2, ...figures(step) });
  }
  run.end('finished');
}

export interface TestOptions {
  classes: readonly string[];
  pictures: readonly string[];
  questionsPerClass: number;
  respond: (label: string, question: number) => string;
  /** of each answer, as the pass `classify` has it */
  probability?: (label: string, question: number) => number;
}

/** Writes the folder of a test: half of the classes seen, half unseen. */
export function writeTest(
  folder: string,
  { classes, pictures, questionsPerClass, respond, probability }: TestOptions,
): void {
  const records = classes.flatMap((label, c) =>
    Array.from({ length: questionsPerClass }, (_, i): Omit<AnswerRecord, 'step'> => {
      const image = pictures[(c * questionsPerClass + i) % pictures.length] as string;
      const response = respond(label, i);
      const place = {
        key: `ab:${c * questionsPerClass + i}`,
        file: 'eval.jsonl',
        row: c * questionsPerClass + i + 1,
      };
      return {
        ...place,
        ...(probability === undefined
          ? { pass: 'stored' }
          : { pass: 'classify', probability: probability(label, i) }),
        ...{ turn: 0, set: 'birds', split: c < classes.length / 2 ? 'seen' : 'unseen' },
        ...{ imagePath: `images/${i}.png`, image, options: classes.slice(0, 4), label, response },
        ...judge(response, { label, classes, world: 'closed', imagePath: image }),
        ...{ wellFormed: true, truncated: false },
      };
    }),
  );
  const settings = { prompt: 'plain' };
  using answers = openAnswers(folder, settings);
  answers.add(records);
  const leftOut = [{ file: 'eval.jsonl', row: 99, image: 'gone.png', reason: 'there is no such file' }];
  writeJson(join(folder, 'results.json'), sumUp(settings, [...answers.records], leftOut, { seed: 0 }));
}

/** Adds to a file what a damaged disk or a kill may leave. */
export const append = (file: string, text: string): void => {
  writeFileSync(file, text, { flag: 'a' });
};
