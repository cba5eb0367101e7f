import { expect, it } from 'vitest';
import { promptOf } from '../../src/eval/prompts.ts';

it('puts options as the released evaluation does, in the text that Python has for a list', () => {
  const options = ["Cooper's Hawk", 'Rock "n" Rose\'s', 'a\\b', 'bird'];
  expect(promptOf('released', 'What bird?', options)).toBe(
    'Given the question: What bird?, based on the options provided in ' +
      `["Cooper's Hawk", 'Rock "n" Rose\\'s', 'a\\\\b', 'bird'], ` +
      'output the thinking process in <think> </think> and final choice in <answer> </answer> tags. ' +
      'The response format should be: <think>...</think> <answer>choice</answer>.',
  );
});

it('asks in the open world without options', () => {
  expect(promptOf('released', 'What bird?', [])).toBe(
    'Given the question: What bird?. This is a fine-grained question. Output reasoning in <think></think> and the final ' +
      'answer in <answer></answer>.',
  );
  expect(promptOf('plain', 'what bird is this?', [])).toBe('what bird is this?');
});

it('asks plainly as the synthetic rows were taught', () => {
  expect(promptOf('plain', 'what bird is this?', ['a', 'b'])).toBe('what bird is this? options: a, b.');
});
