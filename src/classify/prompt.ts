import { withOptions } from '../data/text/question.ts';

/** The version of the words around the question, the candidates and the answer; any change to them is another one. */
export const PROMPT_VERSION = 'classify-1';

/** What is asked where nothing else is said; a question that names the domain ("What kind of bird is this?") is better. */
export const QUESTION = 'What is the name of the object in this picture?';

/**
 * What asks for the reasoning: the text that the released stage 2 puts behind each question. It is not taken from that
 * stage's config, as a prompt of this version stays what it is when that changes.
 */
export const INSTRUCTION =
  'You first think through the reasoning process as an internal monologue, enclosed within <think> </think> tags. Then, ' +
  'provide your final answer enclosed within <answer> </answer> tags.';

/** What a prompt is made of. */
export interface PromptParts {
  question: string;
  /** follows after a blank line; '': nothing does */
  instruction: string;
  /** null: none are named */
  candidates: readonly string[] | null;
}

/** What the model is asked, behind the picture. */
export function promptOf({ question, instruction, candidates }: PromptParts): string {
  const asked = candidates === null ? question : withOptions(question, candidates);
  return instruction === '' ? asked : `${asked}\n\n${instruction}`;
}
