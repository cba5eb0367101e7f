/** What a response says. */
export interface ParsedResponse {
  /** whether the whole of it is `<think>...</think>`, white space, `<answer>...</answer>` */
  isWellFormed: boolean;
  /** what stands in the first `<answer>`, trimmed; undefined where there is none */
  answer: string | undefined;
}

const FORM = /^<think>.*<\/think>\s*<answer>.*<\/answer>$/su;
const ANSWER = /<answer>(.*?)<\/answer>/su;

/** Reads a response in the paper's form (section 3.1): reasoning, then the name. */
export function parseResponse(text: string): ParsedResponse {
  const trimmed = text.trim();
  return { isWellFormed: FORM.test(trimmed), answer: ANSWER.exec(trimmed)?.[1]?.trim() };
}

/** Whether two names are the same but for case, underscores and outer white space. */
export const isSameName = (a: string, b: string): boolean => normalised(a) === normalised(b);

const normalised = (name: string): string => name.replaceAll('_', ' ').trim().toLowerCase();
