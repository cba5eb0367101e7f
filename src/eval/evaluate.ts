import { join } from 'node:path';
import { DataError } from '../common/errors.ts';
import { type EvalConfig, readRepetitionPenalty } from '../config/eval.ts';
import { pickRuntime } from '../config/runtime.ts';
import { resolveModel } from '../data/hub.ts';
import { loadTokenizer, type Tokenizer } from '../data/text/tokenizer.ts';
import { loadSiglipText, type SiglipText } from '../model/siglip.ts';
import { selectBackend } from '../runtime/select.ts';
import { hashModel } from '../train/run/provenance.ts';
import { type AnswerRecord, openAnswers, type Settings, writeJson } from './answers.ts';
import { askAll } from './ask.ts';
import { passesOf, readQuestions } from './questions.ts';
import { sumUp, type ResultRow, type Results } from './results.ts';
import { coarseName } from './rules.ts';
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
  using siglip = config.siglip === undefined ? undefined : await openSiglip(config.siglip, signal);
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
  const results = sumUp(settings, rows.map(toRow), leftOut, config);
  if (config.out !== undefined) writeJson(join(config.out, 'results.json'), results);
  return results;
}

interface Siglip extends Disposable {
  text: SiglipText;
  tokenizer: Tokenizer;
}

async function openSiglip(name: string, signal: AbortSignal): Promise<Siglip> {
  const folder = await resolveModel(name, { signal });
  const tokenizer = loadTokenizer(folder);
  const text = loadSiglipText(folder);
  return { text, tokenizer, [Symbol.dispose]: () => text[Symbol.dispose]() };
}

async function withSimilarity(
  siglip: Siglip,
  records: readonly AnswerRecord[],
): Promise<(AnswerRecord & { similarity: number })[]> {
  const scores = await scoreSimilarity(
    siglip.text,
    siglip.tokenizer,
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
  const { wellFormed, truncated, similarity, probability } = record;
  return {
    ...{ key, pass, turn, set, ...(split !== undefined && { split }) },
    ...{ options, label, named, released, strict, wellFormed, truncated },
    ...(similarity !== undefined && { similarity }),
    ...(probability !== undefined && { probability }),
  };
}
