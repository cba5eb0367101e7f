import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DataError } from '../common/errors.ts';
import { startProgress } from '../common/progress.ts';
import { type EvalConfig, readRepetitionPenalty } from '../config/eval.ts';
import { pickRuntime } from '../config/runtime.ts';
import { nameOf } from '../data/image/decode.ts';
import { mapAhead } from '../data/image/pool.ts';
import { resolveModel } from '../data/hub.ts';
import { parseResponse } from '../data/text/answer.ts';
import { encodePrompt, IMAGE_MARK } from '../data/text/conversation.ts';
import { loadTokenizer } from '../data/text/tokenizer.ts';
import { generate } from '../model/generate.ts';
import type { Qwen25VL } from '../model/qwen25vl.ts';
import { loadSiglipText } from '../model/siglip.ts';
import { selectBackend } from '../runtime/select.ts';
import { openInputs, type StageInputs } from '../stage/inputs.ts';
import { collate, type Example } from '../train/examples.ts';
import { hashFiles } from '../train/run/provenance.ts';
import { loadForTraining } from '../train/trainedModel.ts';
import { type AnswerRecord, type Answers, openAnswers, type Settings, writeJson } from './answers.ts';
import { passesOf, type LeftOut, type Question, type Questions, readQuestions } from './questions.ts';
import { sumUp, type ResultRow, type Results } from './results.ts';
import { coarseName, judge } from './rules.ts';
import { scoreSimilarity } from './similarity.ts';

/**
 * Evaluates a model: asks it all questions, greedily, and judges the answers by the released rules and strictly.
 *
 * @throws ConfigError if `out` holds an evaluation with other settings, or there is no such model
 * @throws DataError if rows are wrong, or no picture can be used
 * @throws CheckpointError if a model is damaged, or `out` cannot be written
 * @throws what aborted the signal; the answers so far are in `out`
 */
export async function evaluate(config: EvalConfig, signal: AbortSignal): Promise<Results> {
  const questions = await readQuestions(config);
  const backend = await selectBackend(pickRuntime({}));
  const folder = await resolveModel(config.model, { signal });
  const siglip = config.siglip === undefined ? undefined : await resolveModel(config.siglip, { signal });
  const repetitionPenalty = readRepetitionPenalty(folder);
  const settings: Settings = {
    model: await hashModel(folder),
    data: questions.data,
    passes: passesOf(config),
    prompt: config.prompt,
    seed: config.seed,
    rows: config.rows ?? 'all',
    maxNewTokens: config.maxNewTokens,
    repetitionPenalty,
    backend: `${backend.backend} ${backend.device}`,
  };
  using answers = openAnswers(config.out, settings);
  const unusable = await askAll({ config, folder, repetitionPenalty, signal }, questions, answers);
  const leftOut = [...questions.missing, ...unusable];
  if (answers.records.length === 0) {
    throw new DataError(`No picture can be used, the first since ${leftOut[0]?.reason ?? 'there is none'}.`);
  }
  const rows = siglip === undefined ? answers.records : await withSimilarity(siglip, answers.records);
  const results = sumUp(settings, rows.map(toRow), leftOut, config.seed);
  if (config.out !== undefined) writeJson(join(config.out, 'results.json'), results);
  return results;
}

const MODEL_FILES = /\.(json|safetensors|jinja)$/;

/* The sha256 of what decides on the answers. */
async function hashModel(folder: string): Promise<Record<string, string>> {
  const names = readdirSync(folder).filter((name) => MODEL_FILES.test(name));
  const hashes = await hashFiles(names.sort().map((name) => join(folder, name)));
  return Object.fromEntries(Object.entries(hashes).map(([path, hash]) => [basename(path), hash]));
}

interface Asking {
  config: EvalConfig;
  folder: string;
  repetitionPenalty: number;
  signal: AbortSignal;
}

const idOf = ({ key, pass, turn }: Pick<Question, 'key' | 'pass' | 'turn'>): string =>
  `${pass} ${key} ${turn}`;

/* Asks what is not answered yet; what pictures cannot be used. */
async function askAll(asking: Asking, { questions }: Questions, answers: Answers): Promise<LeftOut[]> {
  const done = new Set(answers.records.map(idOf));
  const pending = questions.filter((question) => !done.has(idOf(question)));
  if (pending.length === 0) return [];
  const { config, folder, repetitionPenalty, signal } = asking;
  using model = loadForTraining(folder, { dtype: 'auto', freeze: [], seed: 0 });
  const { network } = model;
  // As the released evaluation reads pictures: EXIF orientation is not applied, and they are resized once.
  await using inputs = openInputs(folder, network.config, { pictures: 'released', preSize: 'none' });
  using progress = startProgress('Asking', pending.length, 'questions');
  const batches = Array.from({ length: Math.ceil(pending.length / config.batch) }, (_, i) =>
    pending.slice(i * config.batch, (i + 1) * config.batch),
  );
  const leftOut = new Map<string, LeftOut>();
  let asked = 0;
  for await (const { prompts, unusable } of mapAhead(batches, (batch) => readBatch(batch, inputs), 1)) {
    signal.throwIfAborted();
    for (const one of unusable) leftOut.set(one.image, one);
    const options = { maxNewTokens: config.maxNewTokens, repetitionPenalty, signal };
    answers.add(await answer(network, inputs, prompts, options));
    asked += prompts.length + unusable.length;
    progress.update(asked);
  }
  return [...leftOut.values()];
}

interface Prompt {
  question: Question;
  example: Example;
}

async function readBatch(
  questions: readonly Question[],
  { tokenizer, pool, imageConfig }: StageInputs,
): Promise<{ prompts: Prompt[]; unusable: LeftOut[] }> {
  const prompts: Prompt[] = [];
  const unusable: LeftOut[] = [];
  const read = await Promise.allSettled(questions.map(({ image }) => pool.process(image)));
  read.forEach((outcome, i) => {
    const question = questions[i] as Question;
    if (outcome.status === 'fulfilled') {
      const turns = [{ role: 'user' as const, content: IMAGE_MARK + question.text }];
      const ids = encodePrompt(tokenizer, turns, [outcome.value.gridThw], imageConfig.mergeSize);
      prompts.push({ question, example: { ids, labels: ids, images: [outcome.value] } });
    } else if (outcome.reason instanceof DataError) {
      const { origin, image } = question;
      unusable.push({ ...origin, image: nameOf(image), reason: outcome.reason.message });
    } else {
      throw outcome.reason;
    }
  });
  return { prompts, unusable };
}

async function answer(
  model: Qwen25VL,
  { tokenizer, stopTokens }: StageInputs,
  prompts: readonly Prompt[],
  options: { maxNewTokens: number; repetitionPenalty: number; signal: AbortSignal },
): Promise<Omit<AnswerRecord, 'step'>[]> {
  if (prompts.length === 0) return [];
  const batch = collate(prompts.map(({ example }) => example));
  const { tokens, finishReasons } = await generate(model, batch, { ...options, stopTokens });
  return prompts.map(({ question }, i) => {
    const response = tokenizer.decode(tokens[i] as number[], { skipSpecialTokens: true });
    const { key, pass, turn, origin, set, split, imagePath, options: asked, label, classes } = question;
    const world = pass === 'open' ? 'open' : 'closed';
    return {
      key,
      pass,
      turn,
      file: basename(origin.file),
      row: origin.row,
      set,
      ...(split !== undefined && { split }),
      imagePath,
      options: asked,
      label,
      response,
      ...judge(response, { label, classes, world, imagePath }),
      wellFormed: parseResponse(response).isWellFormed,
      truncated: finishReasons[i] === 'length',
    };
  });
}

async function withSimilarity(
  folder: string,
  records: readonly AnswerRecord[],
): Promise<(AnswerRecord & { similarity: number })[]> {
  using siglip = loadSiglipText(folder);
  const scores = await scoreSimilarity(
    siglip,
    loadTokenizer(folder),
    records.map(({ answer: text, response, label, imagePath }) => ({
      text: text ?? response,
      label,
      coarse: coarseName(imagePath),
    })),
  );
  return records.map((record, i) => ({ ...record, similarity: scores[i] as number }));
}

function toRow(record: AnswerRecord & { similarity?: number }): ResultRow {
  const { key, pass, turn, set, split, options, label, named, released, strict } = record;
  const { wellFormed, truncated, similarity } = record;
  return {
    ...{
      key,
      pass,
      turn,
      set,
      ...(split !== undefined && { split }),
      options,
      label,
      named,
      released,
      strict,
    },
    ...{ wellFormed, truncated, ...(similarity !== undefined && { similarity }) },
  };
}
