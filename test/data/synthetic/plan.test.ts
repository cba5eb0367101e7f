import { describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/common/random.ts';
import {
  allBirds,
  type Bird,
  differences,
  DIFFICULTIES,
  FAMILIES,
  lookAlike,
  nameOf,
  valuesOf,
} from '../../../src/data/synthetic/birds.ts';
import { misreadings } from '../../../src/data/synthetic/describer.ts';
import { DEFAULT_OPTIONS, planSet, type SetPlan } from '../../../src/data/synthetic/plan.ts';
import { drawOptions, splitBirds } from '../../../src/data/synthetic/split.ts';

const { normal } = FAMILIES;
const plan = planSet({ ...DEFAULT_OPTIONS, seed: 11 });
const birds = new Map(allBirds(normal).map((bird) => [nameOf(bird, normal), bird]));
const birdOf = (name: string): Bird => birds.get(name) ?? expect.fail(`no bird is called ${name}`);
const drawnIn = new Map(plan.pictures.map(({ path, bird }) => [path, bird]));
const shownIn = (path: string): Bird => drawnIn.get(path) ?? expect.fail(`no picture is ${path}`);
const namesOf = (entries: SetPlan['classes']): string[] => entries.map(({ name }) => name);
const unseen = namesOf(plan.classes.filter(({ seen, pictures }) => !seen && pictures.test > 0));
const answerOf = (row: SetPlan['sft'][number]): string =>
  /<answer>(.*)<\/answer>$/.exec(row.messages[1]?.content ?? '')?.[1] ?? expect.fail('no answer');

describe.each(DIFFICULTIES)('a split of the %s family', (difficulty) => {
  const family = FAMILIES[difficulty];
  const all = allBirds(family);

  it.each([0, 1, 2, 3, 4])(
    'by seed %d holds every look about evenly, and no unseen kind is read into a seen one',
    (seed) => {
      const { seen, unseen, spare } = splitBirds(family, seed);
      expect([seen.length, unseen.length, spare.length]).toEqual(
        [1 / 2, 1 / 4, 1 / 4].map((s) => s * all.length),
      );
      expect(new Set([...seen, ...unseen, ...spare])).toEqual(
        new Set(splitBirds(family, seed).seen.concat(unseen, spare)),
      );
      const names = [...seen, ...unseen, ...spare].map((bird) => nameOf(bird, family));
      expect(new Set(names).size).toBe(all.length);
      for (const part of family.parts) {
        for (const value of valuesOf(part)) {
          for (const group of [seen, unseen]) {
            const count = group.filter((bird) => bird[part] === value).length;
            const share = group.length / valuesOf(part).length;
            expect(count).toBeGreaterThanOrEqual(share / 2);
            expect(count).toBeLessThanOrEqual(1.5 * share);
          }
        }
      }
      for (const bird of seen) {
        expect(seen.some((other) => differences(bird, other).length === 1)).toBe(true);
        for (const read of misreadings(bird)) expect(unseen).not.toContainEqual(read);
      }
    },
  );
});

describe('options', () => {
  const all = [...birds.values()];

  it('hold what was given and differ from each other in one or two parts', () => {
    const random = createRandom(1, 'options');
    for (let i = 0; i < 300; i++) {
      const given = all[i % all.length] as Bird;
      const options = drawOptions([given], all, random);
      expect(options).toHaveLength(4);
      expect(options).toContain(given);
      options.forEach((a, j) => options.slice(j + 1).forEach((b) => expect(lookAlike(a, b)).toBe(true)));
    }
  });

  it('do not betray the truth by its place or by standing in the middle', () => {
    const random = createRandom(2, 'options');
    const rounds = 3000;
    const places = [0, 0, 0, 0];
    let central = 0;
    for (let i = 0; i < rounds; i++) {
      const given = all[i % all.length] as Bird;
      const options = drawOptions([given], all, random);
      const place = options.indexOf(given);
      places[place] = (places[place] ?? 0) + 1;
      const distances = options.map((a) => options.reduce((sum, b) => sum + differences(a, b).length, 0));
      const least = Math.min(...distances);
      // the chance of a guesser who takes one of those nearest to the others
      if (distances[place] === least)
        central += 1 / distances.filter((distance) => distance === least).length;
    }
    // 4 standard deviations of a count of one in four
    const margin = 4 * Math.sqrt(rounds * 0.25 * 0.75);
    for (const count of [...places, central]) expect(Math.abs(count - rounds / 4)).toBeLessThan(margin);
  });
});

describe('a planned set', () => {
  it('has 4 training pictures of each of 48 seen kinds, and 384 test pictures each of seen and of 24 unseen ones', () => {
    expect(plan.classes).toHaveLength(96);
    const seen = plan.classes.filter(({ seen }) => seen);
    expect(seen).toHaveLength(48);
    for (const kind of seen) expect(kind.pictures).toEqual({ train: 4, test: 8 });
    expect(unseen).toHaveLength(24);
    for (const kind of plan.classes.filter(({ name }) => unseen.includes(name))) {
      expect(kind.pictures).toEqual({ train: 0, test: 16 });
    }
    expect(new Set(plan.pictures.map(({ path }) => path)).size).toBe(4 * 48 + 2 * 384);
    for (const { name, attributes } of plan.classes) expect(birdOf(name)).toMatchObject(attributes);
  });

  it('draws each picture from its own numbers', () => {
    const firsts = plan.pictures.map(({ random }) => random().bits());
    expect(new Set(firsts).size).toBe(plan.pictures.length);
    expect(plan.pictures.map(({ random }) => random().bits())).toEqual(firsts);
  });

  it('tests on test pictures, with shuffled options and the truth among them', () => {
    for (const [rows, isUnseen] of [
      [plan.evalSeen, false],
      [plan.evalUnseen, true],
    ] as const) {
      expect(rows).toHaveLength(384);
      const places = [0, 0, 0, 0];
      for (const { image_path, options, ground_truth } of rows) {
        expect(image_path).toMatch(/^images\/test\//);
        expect(nameOf(shownIn(image_path), normal)).toBe(ground_truth);
        expect(unseen.includes(ground_truth)).toBe(isUnseen);
        expect(new Set(options).size).toBe(4);
        const place = options.indexOf(ground_truth);
        places[place] = (places[place] ?? 0) + 1;
      }
      // 4 standard deviations of a count of one in four of 384
      for (const count of places) expect(Math.abs(count - 96)).toBeLessThan(34);
    }
  });

  it('makes triplets of training pictures: two of a kind, and one that differs in exactly one part', () => {
    expect(plan.triplets).toHaveLength(192);
    for (const { images, image_noisy, image_aug, answer, problem, options } of plan.triplets) {
      for (const [path] of [images, image_noisy, image_aug]) expect(path).toMatch(/^images\/train\//);
      expect(image_noisy).not.toEqual(images);
      expect(nameOf(shownIn(images[0]), normal)).toBe(answer);
      expect(shownIn(image_noisy[0])).toBe(shownIn(images[0]));
      expect(differences(shownIn(images[0]), shownIn(image_aug[0]))).toHaveLength(1);
      if (options !== undefined) {
        expect(options).toContain(answer);
        expect(problem.endsWith(`? options: ${options.join(', ')}.`)).toBe(true);
      }
    }
    expect(plan.triplets.filter(({ options }) => options !== undefined)).toHaveLength(96);
    expect(new Set(plan.triplets.map(({ images: [path] }) => path)).size).toBe(192);
  });

  it('explains each training picture in the released form, and names what the rationale predicts', () => {
    expect(plan.sft).toHaveLength(192);
    for (const row of plan.sft) {
      const [question, reply, ...more] = row.messages;
      expect(more).toEqual([]);
      expect(question).toMatchObject({
        role: 'user',
        content: expect.stringMatching(/^<image>[^<]+$/) as string,
      });
      expect(reply?.role).toBe('assistant');
      expect(reply?.content).toMatch(
        /^<think> analysis: [^<]* a ([^<]*)\. <\/think>\n\n<answer>\1<\/answer>$/,
      );
      expect(nameOf(shownIn(row.images[0]), normal)).toBe(row.truth);
      const named = birdOf(answerOf(row));
      expect([birdOf(row.truth), ...misreadings(birdOf(row.truth))]).toContainEqual(named);
    }
  });

  it('has rationales of about 47 words and marks', () => {
    const lengths = plan.sft.map(({ messages }) => {
      const [, rationale] = /<think>(.*)<\/think>/s.exec(messages[1]?.content ?? '') ?? [];
      return rationale?.match(/\w+|[^\w\s]/g)?.length ?? 0;
    });
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    expect(Math.abs(mean - 47)).toBeLessThan(5);
  });

  it('names no unseen kind in a training text', () => {
    const texts = [
      ...plan.sft.flatMap(({ messages }) => messages.map(({ content }) => content)),
      ...plan.triplets.flatMap(({ problem, answer }) => [problem, answer]),
    ].join('\n');
    for (const name of unseen) expect(texts).not.toContain(name);
  });

  it.each([0, 0.5, 1])('names the wrong kind as often as a describer with confusion %d does', (confusion) => {
    const { sft } = planSet({ ...DEFAULT_OPTIONS, seed: 11, confusion });
    const confusable = sft.filter(({ truth }) => misreadings(birdOf(truth)).length > 0);
    const expected = confusable.reduce(
      (sum, { truth }) => sum + (1 - (1 - confusion) ** Math.log2(misreadings(birdOf(truth)).length + 1)),
      0,
    );
    const wrong = sft.filter((row) => answerOf(row) !== row.truth);
    expect(Math.abs(wrong.length - expected)).toBeLessThanOrEqual(confusion % 1 === 0 ? 0 : 20);
    expect(confusable.length).toBeGreaterThan(60);
    for (const row of wrong) expect(confusable).toContain(row);
  });

  it('is another for another seed, and keeps pictures and split where only the describer errs more', () => {
    const paths = (options: Partial<typeof DEFAULT_OPTIONS>): string[] =>
      planSet({ ...DEFAULT_OPTIONS, seed: 11, ...options }).pictures.map(({ path }) => path);
    expect(paths({ confusion: 0 })).toEqual(paths({}));
    expect(paths({ seed: 12 })).not.toEqual(paths({}));
  });
});
