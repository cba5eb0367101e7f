import { describe, expect, it } from 'vitest';
import { coarseName, judge, releasedAnswer, type Truth } from '../../src/eval/rules.ts';

const CLASSES = ['petunia', 'mexican petunia', 'Boeing 737-200', 'Boeing 737-300', 'rose'];
const truth = (label: string, more: Partial<Truth> = {}): Truth => ({
  label,
  classes: CLASSES,
  world: 'closed',
  imagePath: 'some/picture.jpg',
  ...more,
});
const answered = (answer: string): string => `<think>It is red.</think>\n\n<answer>${answer}</answer>`;
const both = (response: string, of: Truth): [released: boolean, strict: boolean] => {
  const { released, strict } = judge(response, of);
  return [released, strict];
};

describe('releasedAnswer', () => {
  it.each([
    ['<answer> a rose\n</answer>', 'a rose'],
    ['<answer>a</answer> or <answer>b</answer>', 'a</answer> or <answer>b'],
    ['<answer>a\nb</answer>', 'a\nb'],
    ['<answer> </answer>', undefined],
    ['<answer>a rose', undefined],
    ['a rose', undefined],
  ])('of %j is %j', (response, answer) => {
    expect(releasedAnswer(response)).toBe(answer);
  });
});

describe('in the closed world', () => {
  it.each([
    ['the name alone', 'rose', 'rose', true, true],
    ['the name in other case, with underscores', 'Mexican_Petunia', 'mexican petunia', true, true],
    ['a label with underscores', 'mexican petunia', 'Mexican_Petunia', true, true],
    ['a sentence around the name', 'It is a Rose.', 'rose', true, true],
    ['a longer name that contains the right one', 'mexican petunia', 'petunia', true, false],
    ['a shorter name that the right one contains', 'petunia', 'mexican petunia', false, false],
    ['the right one among several', 'rose or petunia', 'rose', true, false],
    ['all options, listed', 'petunia, mexican petunia, rose', 'petunia', true, false],
    ['the name within a longer word', 'primroses', 'rose', true, false],
    ['a wrong one', 'Boeing 737-300', 'Boeing 737-200', false, false],
    ['something else', 'I cannot tell', 'rose', false, false],
    ['nothing', '', 'rose', false, false],
  ])('%s', (_, answer, label, released, strict) => {
    expect(both(answered(answer), truth(label))).toEqual([released, strict]);
  });

  it('a name outside of the answer is wrong', () => {
    expect(both('It is a rose.', truth('rose'))).toEqual([false, false]);
    expect(both('<think>a rose</think><answer>petunia</answer>', truth('rose'))).toEqual([false, false]);
  });

  it('two answers count as one text: strictly they name two', () => {
    const response = '<answer>petunia</answer> no, <answer>rose</answer>';
    expect(both(response, truth('rose'))).toEqual([true, false]);
  });

  it('a label that is not among the known classes can be right', () => {
    expect(judge(answered('Dandelion'), truth('dandelion'))).toEqual({
      answer: 'Dandelion',
      named: ['dandelion'],
      released: true,
      strict: true,
    });
  });
});

describe('in the open world', () => {
  const open = (label: string, imagePath = 'flower102/1.jpg'): Truth =>
    truth(label, { world: 'open', imagePath });

  it('the whole output counts where there is no answer, by the released rule only', () => {
    expect(both('I think of a rose.', open('rose'))).toEqual([true, false]);
    expect(both('<answer></answer> a rose', open('rose'))).toEqual([true, false]);
    expect(both('<think>rose</think><answer>petunia</answer>', open('rose'))).toEqual([false, false]);
  });

  it("a car's label goes without its last two words", () => {
    const car = open('Audi TT RS Coupe 2012', 'stanford-cars/cars_test/00002.jpg');
    expect(both(answered('an Audi TT RS'), car)).toEqual([true, false]);
    expect(both(answered('Audi TT RS Coupe 2012'), car)).toEqual([true, true]);
    expect(both(answered('an Audi TT'), car)).toEqual([false, false]);
    expect(both(answered('an Audi TT RS'), { ...car, imagePath: 'a/b.jpg' })).toEqual([false, false]);
  });

  it('of a car with two words anything is right by the released rule', () => {
    expect(both(answered('a bicycle'), open('Audi TT', 'cars/1.jpg'))).toEqual([true, false]);
  });

  it('underscores of the text stay, those of the label do not', () => {
    expect(both(answered('mexican_petunia'), open('mexican petunia'))).toEqual([false, true]);
    expect(both(answered('mexican petunia'), open('Mexican_Petunia'))).toEqual([true, true]);
  });
});

it.each([
  ['fgvc_aircraft/data/images/0116175.jpg', 'aircraft'],
  ['birds/1.jpg', 'bird'],
  ['bird_200/images/001/a.jpg', 'object'],
  ['stanford-cars/cars_test/00002.jpg', 'car'],
  ['dogs_120/Images/a.jpg', 'object'],
  ['flower102/jpg/image_05087.jpg', 'flower'],
  ['oxford-pet/images/american_bulldog_203.jpg', 'object'],
])('what %s shows is taken to be: %s', (path, name) => {
  expect(coarseName(path)).toBe(name);
});
