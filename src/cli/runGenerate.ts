import { loadModel, type Model } from '../api/loadModel.ts';
import { log } from '../common/log.ts';
import type { Message } from '../data/text/chatTemplate.ts';
import { createTextStream, type Tokenizer } from '../data/text/tokenizer.ts';
import { resolveModel } from '../data/hub.ts';
import type { FinishReason } from '../model/generate.ts';
import type { ModelInputs } from '../model/inputs.ts';
import type { GenerateArguments } from './generate.ts';
import { abortOnSignal } from './interrupt.ts';

/** Loads the model, asks it, and prints the answer. */
export async function runGenerate(options: GenerateArguments): Promise<void> {
  await abortOnSignal((signal) => answer(options, signal));
}

async function answer(options: GenerateArguments, signal: AbortSignal): Promise<void> {
  const { backend, dtype, adapter, pictures } = options;
  const folder = await resolveModel(options.model, { signal });
  using model = await loadModel(folder, {
    backend,
    dtype,
    pictures,
    ...(adapter !== undefined && { adapter }),
  });
  const messages: Message[] = [
    {
      role: 'user',
      content: [
        ...options.image.map(() => ({ type: 'image' as const })),
        { type: 'text', text: options.prompt },
      ],
    },
  ];
  const inputs = await model.prepare(messages, options.image);
  const result = await ask(model, inputs, options, signal);
  if (options.json)
    process.stdout.write(`${JSON.stringify({ model: options.model, ...result }, undefined, 2)}\n`);
  else process.stdout.write('\n');
  if (result.finishReason === 'length') {
    log.warn(`The answer was cut at ${options.maxNewTokens} tokens; give more with --max-new-tokens.`);
  }
}

interface Answer {
  text: string;
  finishReason: FinishReason;
  promptTokens: number;
  tokens: number[];
  logProbs: number[];
  /** with the prefill */
  seconds: number;
}

async function ask(
  model: Model,
  inputs: ModelInputs,
  options: GenerateArguments,
  signal: AbortSignal,
): Promise<Answer> {
  const { maxNewTokens, temperature, topK, topP, repetitionPenalty, seed } = options;
  const settings = { maxNewTokens, temperature, topK, topP, repetitionPenalty, seed, signal };
  const stream = createTextStream(model.tokenizer as Tokenizer);
  const started = performance.now();
  const answer: Omit<Answer, 'seconds'> = {
    text: '',
    finishReason: 'length',
    promptTokens: inputs.inputIds[0]?.length ?? 0,
    tokens: [],
    logProbs: [],
  };
  const say = (text: string): void => {
    answer.text += text;
    if (!options.json) process.stdout.write(text);
  };
  for await (const parts of model.stream(inputs, settings)) {
    for (const { tokens, logProbs, finishReason } of parts) {
      answer.tokens.push(...tokens);
      answer.logProbs.push(...logProbs);
      say(stream.push(tokens));
      if (finishReason !== undefined) answer.finishReason = finishReason;
    }
  }
  say(stream.end());
  return { ...answer, seconds: (performance.now() - started) / 1e3 };
}
