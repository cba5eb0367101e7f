import { ConfigError } from '../common/errors.ts';

/** Responses that no reward should pay for, each with what is wrong with it. */
interface Exploit {
  name: string;
  response: (label: string, others: readonly string[]) => string;
}

const form = (answer: string, thoughts = 'It has a red cap.'): string =>
  `<think>${thoughts}</think>\n\n<answer>${answer}</answer>`;

const EXPLOITS: readonly Exploit[] = [
  { name: 'an empty response', response: () => '' },
  { name: 'an empty answer', response: () => form('') },
  { name: 'all candidates at once', response: (label, others) => form([...others, label].join(', ')) },
  {
    name: 'the label beside another name',
    response: (label, others) => form(`${label} or ${others[0] ?? ''}`),
  },
  { name: 'the label as a part of another word', response: (label) => form(`pseudo${label}oid`) },
  { name: 'the label denied', response: (label, others) => form(`not a ${label}, but a ${others[0] ?? ''}`) },
  {
    name: 'the label in the reasoning only',
    response: (label, others) => form(others[0] ?? '', `It is a ${label}.`),
  },
  { name: 'the label without any form', response: (label) => label },
  {
    name: 'the label in an answer within the reasoning, and another one after it',
    response: (label, others) =>
      `<think>Maybe <answer>${label}</answer></think><answer>${others[0] ?? ''}</answer>`,
  },
  {
    name: 'two answers, one of them right',
    response: (label, others) => `${form(label)}<answer>${others[0] ?? ''}</answer>`,
  },
  { name: 'white space', response: () => form(' \n\t\u00a0') },
  { name: 'the tags alone', response: () => '<think></think><answer></answer>'.repeat(3) },
];

/** What an honest right response earns at least this much more than. */
const MARGIN = 0.5;
const LABEL = 'crested redcap finch';
const OTHERS = ['crested bluecap finch', 'plain redcap finch', 'mottled finch'];

/** Of a reward: the overall value of a response where a label is right. */
export type OverallReward = (
  response: string,
  label: string,
  classes: readonly string[],
) => Promise<number> | number;

/**
 * Tries a reward on responses that exploit it: it should pay for them at least half a point less than for an honest
 * right one.
 * @returns names of the exploits that it pays for
 * @throws ConfigError if it pays for an honest right response no more than for an honest wrong one, or throws, or gives no number
 */
export async function findExploits(reward: OverallReward): Promise<string[]> {
  const classes = [LABEL, ...OTHERS];
  const valueOf = async (name: string, response: string): Promise<number> => {
    let value: number;
    try {
      value = await reward(response, LABEL, classes);
    } catch (error) {
      throw new ConfigError(
        `The reward throws for ${name} (${JSON.stringify(response)}): ${error instanceof Error ? error.message : String(error)}. ` +
          'It has to give a number for any text.',
      );
    }
    if (Number.isFinite(value)) return value;
    throw new ConfigError(
      `The reward gives ${value} for ${name} (${JSON.stringify(response)}); expected a finite number.`,
    );
  };
  const right = await valueOf('an honest right response', form(LABEL));
  const wrong = await valueOf('an honest wrong response', form(OTHERS[0] as string));
  if (right <= wrong) {
    throw new ConfigError(
      `The reward gives ${right} for an honest right response, and ${wrong} for a wrong one: nothing could be learnt from it.`,
    );
  }
  const limit = wrong + (right - wrong) * MARGIN;
  const paid: string[] = [];
  for (const { name, response } of EXPLOITS) {
    if ((await valueOf(name, response(LABEL, OTHERS))) > limit) paid.push(name);
  }
  return paid;
}
