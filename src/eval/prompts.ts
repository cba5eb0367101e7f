import type { PromptKind } from '../config/eval.ts';
import { withOptions } from '../data/text/question.ts';

/**
 * The text that goes with a picture.
 *
 * @param options in the order in which they are named; none in the open world
 */
export function promptOf(kind: PromptKind, question: string, options: readonly string[]): string {
  const isOpen = options.length === 0;
  if (kind === 'plain') return isOpen ? question : withOptions(question, options);
  // As in the released eval/evaluation.py: models answer to the letter of it.
  return isOpen
    ? `Given the question: ${question}. This is a fine-grained question. Output reasoning in <think></think> and the ` +
        'final answer in <answer></answer>.'
    : `Given the question: ${question}, based on the options provided in ${pythonList(options)}, output the thinking ` +
        'process in <think> </think> and final choice in <answer> </answer> tags. The response format should be: ' +
        '<think>...</think> <answer>choice</answer>.';
}

/* Python's text of a list of strings, which the released prompt has the options in. */
const pythonList = (texts: readonly string[]): string => `[${texts.map(pythonText).join(', ')}]`;

function pythonText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\t', '\\t');
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}
