import { appendFileSync, cpSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/api/loadModel.ts';
import { classify } from '../../src/classify/classify.ts';
import { ConfigError, DataError } from '../../src/common/errors.ts';
import { type EvalConfig, parseEvalConfig } from '../../src/config/eval.ts';
import { loadTokenizer } from '../../src/data/text/tokenizer.ts';
import type { AnswerRecord } from '../../src/eval/answers.ts';
import { evaluate } from '../../src/eval/evaluate.ts';
import { promptOf } from '../../src/eval/prompts.ts';
import type { PassResult, Results } from '../../src/eval/results.ts';
import { scoreSimilarity } from '../../src/eval/similarity.ts';
import { loadSiglipText } from '../../src/model/siglip.ts';
import { selectBackend } from '../../src/runtime/select.ts';
import { TINY_BASE } from '../support/birds.ts';
import { makeSiglipFolder } from '../support/modelFolder.ts';
import { makeTestSet, type TestSet } from './support.ts';

const never = new AbortController().signal;
const newFolder = (): string => mkdtempSync(join(tmpdir(), 'finer1-evaluation-'));
const QUESTION = 'what bird is this?';
const tokenizer = loadTokenizer(TINY_BASE);
const answersIn = (folder: string): AnswerRecord[] =>
  readFileSync(join(folder, 'answers.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as AnswerRecord);

const PASSES = ['rotations', 'classify'] as const;
const TOKENS = { maxNewTokens: 12 };
let test: TestSet;
let whole: string;
let results: Results;
beforeAll(async () => {
  await selectBackend({ backend: 'auto' });
  test = await makeTestSet();
  whole = newFolder();
  const held = tf.memory().numTensors;
  results = await evaluate(configOf(), never);
  expect(tf.memory().numTensors, 'tensors left behind').toBe(held);
});
const configOf = (more: Partial<EvalConfig> = {}): EvalConfig =>
  parseEvalConfig({
    ...{ model: TINY_BASE, data: [test.seen, test.unseen], out: whole, ...TOKENS, batch: 3 },
    ...{ options: [...PASSES], maxRisk: 0.9 },
    ...more,
  });
const openWorld = (): EvalConfig =>
  parseEvalConfig({
    model: TINY_BASE,
    data: [test.seen],
    openWorld: true,
    siglip: makeSiglipFolder(),
    ...TOKENS,
  });

describe('an evaluation', () => {
  it('asks each row in each pass, and lists those whose pictures cannot be used', () => {
    expect(results.leftOut).toEqual([
      {
        file: test.unseen,
        row: 1,
        image: join(test.folder, 'images/unseen_1.png'),
        reason: 'there is no such file',
      },
      {
        file: test.seen,
        row: 3,
        image: join(test.folder, 'images/seen_3.png'),
        reason: expect.stringMatching(/seen_3\.png cannot be used as a picture/) as string,
      },
    ]);
    const rows = ['seen.jsonl 1', 'seen.jsonl 2', 'seen.jsonl 4', 'unseen.jsonl 2', 'unseen.jsonl 3'];
    const turns = { rotations: [0, 1, 2, 3], classify: [0] };
    expect(answersIn(whole).map(({ pass, file, row, turn }) => `${pass} ${file} ${row} ${turn}`)).toEqual(
      PASSES.flatMap((pass) =>
        rows.flatMap((row) => turns[pass].map((turn) => `${pass} bird_${row} ${turn}`)),
      ),
    );
    for (const { groups, positions } of results.passes) {
      expect(groups.map(({ name, rows: count }) => [name, count])).toEqual([
        ['all', 5],
        ['seen', 3],
        ['unseen', 2],
      ]);
      expect(positions).toHaveLength(4);
    }
    const written = JSON.parse(readFileSync(join(whole, 'results.json'), 'utf8')) as unknown;
    expect(written).toEqual(JSON.parse(JSON.stringify(results)));
  });

  it('gets of each question what the model says to it alone', async () => {
    using model = await loadModel(TINY_BASE, { pictures: 'released' });
    const answers = answersIn(whole).filter(({ pass, turn }) => pass === 'rotations' && turn < 2);
    expect(answers).toHaveLength(10);
    for (const { imagePath, options, response } of answers) {
      const text = promptOf('released', QUESTION, options);
      const content = [{ type: 'image' as const }, { type: 'text' as const, text }];
      const inputs = await model.prepare([{ role: 'user', content }], [join(test.folder, imagePath)]);
      const { tokens } = await model.generate(inputs, TOKENS);
      expect(response).toBe(tokenizer.decode(tokens[0] as number[], { skipSpecialTokens: true }));
    }
  });

  it("has of the pass classify classify's label and its probability, and what refusing gives", async () => {
    using model = await loadModel(TINY_BASE);
    const answers = answersIn(whole).filter(({ pass }) => pass === 'classify');
    const probabilities: (number | undefined)[] = [];
    for (const { imagePath, options, response, probability, named } of answers) {
      const alone = await classify(model, join(test.folder, imagePath), options, {
        question: QUESTION,
        ...TOKENS,
      });
      expect(response).toBe(alone.response);
      expect(named).toEqual([alone.label]);
      expect(probability).toBe(alone.probabilities?.[alone.label as string]);
      probabilities.push(probability);
    }
    const { refusal } = results.passes[1] as PassResult;
    expect(refusal?.curve.at(0)).toMatchObject({
      coverage: 1,
      threshold: Math.min(...(probabilities as number[])),
    });
    expect(refusal?.curve.at(-1)?.threshold).toBe(Math.max(...(probabilities as number[])));
    expect(refusal?.calibration).toMatchObject({ maxRisk: 0.9 });
  });

  it('scores the open world by similarity too', async () => {
    const config = { ...openWorld(), out: newFolder() };
    const { passes, rows } = await evaluate(config, never);
    expect(rows.map(({ pass, options }) => [pass, options])).toEqual(rows.map(() => ['open', []]));
    using text = loadSiglipText(config.siglip as string);
    const answers = answersIn(config.out).map(({ response, label }) => ({
      text: response,
      label,
      coarse: 'object',
    }));
    const alone = await scoreSimilarity(text, loadTokenizer(config.siglip as string), answers);
    expect(rows.map(({ similarity }) => similarity)).toEqual(alone);
    expect(passes[0]?.groups[0]?.similarity?.mean).toBeCloseTo(alone.reduce((sum, x) => sum + x, 0) / 3, 9);
  });
});

describe('an evaluation that was ended early', () => {
  const resultsIn = (folder: string): string => readFileSync(join(folder, 'results.json'), 'utf8');

  it('goes on to the same results', async () => {
    const out = newFolder();
    const count = 22;
    const lines = readFileSync(join(whole, 'answers.jsonl'), 'utf8').split('\n');
    // What a kill leaves: some lines, and a part of the next one.
    const left = `${lines.slice(0, count).join('\n')}\n${lines[count]?.slice(0, 40)}`;
    writeFileSync(join(out, 'answers.jsonl'), left);
    cpSync(join(whole, 'settings.json'), join(out, 'settings.json'));
    await evaluate(configOf({ out }), never);
    expect(resultsIn(out)).toBe(resultsIn(whole));
    expect(answersIn(out)).toEqual(answersIn(whole));
  });

  it('throws what it was stopped with, and has kept what was answered', async () => {
    const out = newFolder();
    const controller = new AbortController();
    const running = evaluate(configOf({ out }), controller.signal);
    const stop = setInterval(() => {
      const isBegun = existsSync(join(out, 'answers.jsonl')) && answersIn(out).length > 0;
      if (isBegun) controller.abort(new Error('enough'));
    }, 1);
    await expect(running).rejects.toThrow('enough');
    clearInterval(stop);
    const kept = answersIn(out);
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.length).toBeLessThan(20);
    expect(kept).toEqual(answersIn(whole).slice(0, kept.length));
    expect(existsSync(join(out, 'results.json'))).toBe(false);
  });

  it('is not asked again where all is answered', async () => {
    const before = readFileSync(join(whole, 'answers.jsonl'), 'utf8');
    const { rows } = await evaluate(configOf(), never);
    expect(rows).toHaveLength(25);
    expect(readFileSync(join(whole, 'answers.jsonl'), 'utf8')).toBe(before);
  });

  it('is not mixed with one of other settings, data or weights', async () => {
    const other = async (more: Partial<EvalConfig>): Promise<unknown> =>
      await evaluate(configOf(more), never).catch((error: unknown) => error);
    const refused = async (more: Partial<EvalConfig>, message: RegExp): Promise<void> => {
      const error = await other(more);
      expect(error).toBeInstanceOf(ConfigError);
      expect(String(error)).toMatch(message);
    };
    await refused(
      { maxNewTokens: 13, seed: 1 },
      /other settings: seed was 0, and is 1; maxNewTokens was 12, and is 13\. Give/,
    );
    await refused(
      { options: ['classify'] },
      /passes\[0\] was "rotations", and is "classify"; passes\[1\] was/,
    );
    await refused({ data: [test.seen] }, /data\[1\] was \{"file":"bird_unseen\.jsonl",.*\}, and is nothing/);
    const model = newFolder();
    cpSync(TINY_BASE, model, { recursive: true });
    appendFileSync(join(model, 'generation_config.json'), ' ');
    await refused(
      { model },
      /model\.config\.generation_config\.json was "[0-9a-f]{64}", and is "[0-9a-f]{64}"/,
    );
  });
});

describe('an evaluation without pictures', () => {
  it('says where it looked for them', async () => {
    const running = evaluate(configOf({ images: '/none' }), never);
    await expect(running).rejects.toThrow(DataError);
    await expect(running).rejects.toThrow(
      /None of the 7 pictures is there, the first being \/none\/images\/seen_1\.png\. Paths begin at \/none; give .* by --images/,
    );
  });

  it('says why none can be used', async () => {
    const folder = newFolder();
    writeFileSync(join(folder, 'a.png'), 'no picture');
    const row = { image_path: 'a.png', question: 'what?', options: ['a', 'b'], ground_truth: 'a' };
    writeFileSync(join(folder, 'a.jsonl'), JSON.stringify(row));
    await expect(
      evaluate(configOf({ data: [join(folder, 'a.jsonl')], out: newFolder() }), never),
    ).rejects.toThrow(/No picture can be used, the first since .*a\.png cannot be used as a picture/);
  });
});
