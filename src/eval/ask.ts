import { basename, resolve } from 'node:path';
import { loadModel } from '../api/loadModel.ts';
import { classify } from '../classify/classify.ts';
import { INSTRUCTION } from '../classify/prompt.ts';
import { DataError } from '../common/errors.ts';
import { type Progress, startProgress } from '../common/progress.ts';
import type { EvalConfig } from '../config/eval.ts';
import { nameOf } from '../data/image/decode.ts';
import { mapAhead } from '../data/image/pool.ts';
import { placeOf } from '../data/readers/fields.ts';
import { parseResponse } from '../data/text/answer.ts';
import { encodePrompt, IMAGE_MARK } from '../data/text/conversation.ts';
import { generate } from '../model/generate.ts';
import type { Qwen25VL } from '../model/qwen25vl.ts';
import { openInputs, type StageInputs } from '../stage/inputs.ts';
import { collate, type Example } from '../train/examples.ts';
import { loadForTraining } from '../train/trainedModel.ts';
import type { Answers, NewAnswer } from './answers.ts';
import type { LeftOut, Question, Questions } from './questions.ts';
import { judge } from './rules.ts';

/** Who is asked, and how. */
export interface Asking {
  config: EvalConfig;
  /** of the model */
  folder: string;
  repetitionPenalty: number;
  signal: AbortSignal;
}

/* A run of the questions: what is done, and what could not be. */
interface Round {
  answers: Answers;
  /** by place, as a row is asked in several passes */
  leftOut: Map<string, LeftOut>;
  /** counts questions as done */
  done: (count: number) => void;
}

const idOf = ({ key, pass, turn }: Pick<Question, 'key' | 'pass' | 'turn'>): string =>
  `${pass} ${key} ${turn}`;

/**
 * Asks what is not answered yet.
 * @returns what pictures cannot be used
 */
export async function askAll(asking: Asking, { questions }: Questions, answers: Answers): Promise<LeftOut[]> {
  const answered = new Set(answers.records.map(idOf));
  const isPending = (question: Question): boolean => !answered.has(idOf(question));
  const total = questions.filter(isPending).length;
  if (total === 0) return [];
  using progress: Progress = startProgress('Asking', total, 'questions');
  let count = 0;
  const round: Round = {
    answers,
    leftOut: new Map(),
    done: (more) => progress.update((count += more)),
  };
  const { batch } = asking.config;
  const inBatches = questions.filter(({ pass }) => pass !== 'classify');
  // Cut before what is answered is taken out: a batch is the same in a second run, and so are its last bits.
  const batches = Array.from({ length: Math.ceil(inBatches.length / batch) }, (_, i) =>
    inBatches.slice(i * batch, (i + 1) * batch).filter(isPending),
  ).filter(({ length }) => length > 0);
  if (batches.length > 0) await askBatches(asking, batches, round);
  const singly = questions.filter((question) => question.pass === 'classify' && isPending(question));
  if (singly.length > 0) await askAsClassify(asking, singly, round);
  return [...round.leftOut.values()];
}

async function askBatches(
  { config, folder, repetitionPenalty, signal }: Asking,
  batches: readonly Question[][],
  { answers, leftOut, done }: Round,
): Promise<void> {
  using model = loadForTraining(folder, { dtype: 'auto', freeze: [], seed: 0 });
  const { network } = model;
  await using inputs = openInputs(folder, network.config, { pictures: 'evaluated' });
  for await (const { prompts, unusable } of mapAhead(batches, (batch) => readBatch(batch, inputs), 1)) {
    signal.throwIfAborted();
    for (const one of unusable) leftOut.set(placeOf(one), one);
    const options = { maxNewTokens: config.maxNewTokens, repetitionPenalty, signal };
    answers.add(await answer(network, inputs, prompts, options));
    done(prompts.length + unusable.length);
  }
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
    } else {
      unusable.push(leftOutFor(outcome.reason, question));
    }
  });
  return { prompts, unusable };
}

/* @throws the reason, where it is not the picture */
function leftOutFor(reason: unknown, { origin, image }: Question): LeftOut {
  if (reason instanceof DataError) return { ...origin, image: nameOf(image), reason: reason.message };
  throw reason;
}

async function answer(
  model: Qwen25VL,
  { tokenizer, stopTokens }: StageInputs,
  prompts: readonly Prompt[],
  options: { maxNewTokens: number; repetitionPenalty: number; signal: AbortSignal },
): Promise<NewAnswer[]> {
  if (prompts.length === 0) return [];
  const batch = collate(prompts.map(({ example }) => example));
  const { tokens, finishReasons } = await generate(model, batch, { ...options, stopTokens });
  return prompts.map(({ question }, i) => {
    const response = tokenizer.decode(tokens[i] as number[], { skipSpecialTokens: true });
    return toAnswer(question, response, finishReasons[i] === 'length');
  });
}

/* One by one, as `finer1 classify` does: another batch would be another last bit of the probabilities. */
async function askAsClassify(
  { config, folder, signal }: Asking,
  questions: readonly Question[],
  { answers, leftOut, done }: Round,
): Promise<void> {
  using model = await loadModel(folder);
  const instruction = config.prompt === 'plain' ? '' : INSTRUCTION;
  const options = { instruction, maxNewTokens: config.maxNewTokens, signal };
  for (const question of questions) {
    signal.throwIfAborted();
    try {
      const { text, image, options: candidates } = question;
      const { response, truncated, probabilities } = await classify(model, image, candidates, {
        ...options,
        question: text,
      });
      const probability = Math.max(...Object.values(probabilities as Record<string, number>));
      answers.add([{ ...toAnswer(question, response, truncated), probability }]);
    } catch (error) {
      leftOut.set(placeOf(question.origin), leftOutFor(error, question));
    }
    done(1);
  }
}

function toAnswer(question: Question, response: string, truncated: boolean): NewAnswer {
  const { key, pass, turn, origin, set, split, image, imagePath, options, label, classes } = question;
  const world = pass === 'open' ? 'open' : 'closed';
  return {
    ...{ key, pass, turn, file: basename(origin.file), row: origin.row, set },
    ...(split !== undefined && { split }),
    imagePath,
    ...(typeof image === 'string' && { image: resolve(image) }),
    ...{ options, label, response },
    ...judge(response, { label, classes, world, imagePath }),
    wellFormed: parseResponse(response).isWellFormed,
    truncated,
  };
}
