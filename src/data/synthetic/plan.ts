import { createRandom, integerBelow, pick, type Random } from '../../common/random.ts';
import {
  allBirds,
  type Bird,
  type Difficulty,
  FAMILIES,
  type Family,
  folderOf,
  lookAlike,
  nameOf,
} from './birds.ts';
import { withOptions } from '../text/question.ts';
import { askForBird, readBird, reasonAbout } from './describer.ts';
import { drawOptions, neighbours, splitBirds } from './split.ts';

/** What a synthetic set depends on, and nothing else. */
export interface SyntheticOptions {
  seed: number;
  difficulty: Difficulty;
  /** pixels on a side of every picture */
  size: number;
  /** how likely the describer misreads a look that it can misread, 0 to 1 */
  confusion: number;
  /** test pictures of seen kinds, and as many of unseen kinds */
  testPictures: number;
}

/** As in the first study: 9 image tokens a picture, and every part can be told. */
export const DEFAULT_OPTIONS: SyntheticOptions = {
  seed: 0,
  difficulty: 'normal',
  size: 84,
  confusion: 0.7,
  testPictures: 384,
};

/** One picture to draw. */
export interface PlannedPicture {
  /** relative to the set's folder */
  path: string;
  bird: Bird;
  /** the numbers that decide how it is drawn, from their beginning */
  random: () => Random;
}

/** A row of `sft.json`. */
export interface SftRow {
  messages: { role: 'user' | 'assistant'; content: string }[];
  images: [string];
  /** the kind that was drawn; the assistant may name another */
  truth: string;
}

/** A row of `triplets.jsonl`, with the released names. */
export interface TripletLine {
  images: [string];
  problem: string;
  answer: string;
  image_noisy: [string];
  image_aug: [string];
  /** those that the problem lists */
  options?: string[];
}

/** A row of `eval_seen.jsonl` or `eval_unseen.jsonl`, with the released names. */
export interface EvalLine {
  image_path: string;
  question: string;
  options: string[];
  ground_truth: string;
}

/** A kind in `classes.json`. One without pictures occurs as a candidate or an option only. */
export interface ClassEntry {
  name: string;
  attributes: Partial<Bird>;
  seen: boolean;
  pictures: { train: number; test: number };
}

/** All that a set holds; only the pictures are still to be drawn. */
export interface SetPlan {
  pictures: PlannedPicture[];
  sft: SftRow[];
  triplets: TripletLine[];
  evalSeen: EvalLine[];
  evalUnseen: EvalLine[];
  classes: ClassEntry[];
}

/** As in the paper: pictures of each seen kind for training. */
export const SHOTS = 4;

/** Decides what is drawn, asked and answered. */
export function planSet(options: SyntheticOptions): SetPlan {
  const { seed, testPictures } = options;
  const family = FAMILIES[options.difficulty];
  const split = splitBirds(family, seed);
  const order = allBirds(family).map((bird) => nameOf(bird, family));
  const say = (bird: Bird): string => nameOf(bird, family);

  const drawn = (folder: 'train' | 'test', bird: Bird, number: number): PlannedPicture => ({
    path: `images/${folder}/${folderOf(say(bird))}/${String(number + 1).padStart(3, '0')}.png`,
    bird,
    random: () => createRandom(seed, `${folder} picture`, order.indexOf(say(bird)), number),
  });
  const shots = split.seen.map((bird) => Array.from({ length: SHOTS }, (_, n) => drawn('train', bird, n)));
  const tests = (birds: readonly Bird[]): PlannedPicture[] =>
    Array.from({ length: testPictures }, (_, i) =>
      drawn('test', birds[i % birds.length] as Bird, Math.floor(i / birds.length)),
    );
  const [testSeen, testUnseen] = [tests(split.seen), tests(split.unseen)];
  const training = shots.flat();
  const known = [...split.seen, ...split.spare];
  const all = [...known, ...split.unseen];
  const asked = (pictures: readonly PlannedPicture[], purpose: string): EvalLine[] =>
    pictures.map(({ path, bird }, i) => {
      const random = createRandom(seed, purpose, i);
      const question = askForBird(random);
      const named = drawOptions([bird], all, random).map(say);
      return { image_path: path, question, options: named, ground_truth: say(bird) };
    });
  return {
    pictures: [...training, ...testSeen, ...testUnseen],
    sft: training.map((picture, i) => explain(picture, i, options, family, known)),
    triplets: shots.flatMap((pictures, kind) =>
      pictures.map((_, number) => triple(shots, kind, number, seed, family, known)),
    ),
    evalSeen: asked(testSeen, 'seen question'),
    evalUnseen: asked(testUnseen, 'unseen question'),
    classes: all.map((bird) => ({
      name: say(bird),
      attributes: Object.fromEntries(family.parts.map((part) => [part, bird[part]])),
      seen: split.seen.includes(bird),
      pictures: {
        train: training.filter((picture) => picture.bird === bird).length,
        test: [...testSeen, ...testUnseen].filter((picture) => picture.bird === bird).length,
      },
    })),
  };
}

/* Every second row lists names to choose from, so that both kinds of question are learnt. */
const isClosed = (row: number): boolean => row % 2 === 1;

/* What the describer says of a picture. */
function explain(
  { path, bird }: PlannedPicture,
  row: number,
  { seed, confusion }: SyntheticOptions,
  family: Family,
  known: readonly Bird[],
): SftRow {
  const random = createRandom(seed, 'rationale', row);
  const read = readBird(bird, confusion, random);
  const question = askForBird(random);
  const isRight = nameOf(read, family) === nameOf(bird, family);
  const options = isClosed(row) ? drawOptions(isRight ? [bird] : [bird, read], known, random) : undefined;
  const rivals = (options ?? known).filter((other) => lookAlike(read, other));
  const name = nameOf(read, family);
  const text = ask(question, options, family);
  return {
    messages: [
      { role: 'user', content: `<image>${text}` },
      {
        role: 'assistant',
        content: `<think> ${reasonAbout(read, rivals, family, random)} </think>\n\n<answer>${name}</answer>`,
      },
    ],
    images: [path],
    truth: nameOf(bird, family),
  };
}

/* A picture, another of its kind, and one of a seen kind that differs in one part. */
function triple(
  shots: readonly (readonly PlannedPicture[])[],
  kind: number,
  number: number,
  seed: number,
  family: Family,
  known: readonly Bird[],
): TripletLine {
  const random = createRandom(seed, 'triplet', kind, number);
  const own = shots[kind] as readonly PlannedPicture[];
  const anchor = own[number] as PlannedPicture;
  const positive = own[(number + 1 + integerBelow(random, SHOTS - 1)) % SHOTS] as PlannedPicture;
  const seen = shots.map(([first]) => (first as PlannedPicture).bird);
  const near = pick(random, neighbours(anchor.bird, seen));
  const negative = pick(random, shots[seen.indexOf(near)] as readonly PlannedPicture[]);
  const question = askForBird(random);
  const options = isClosed(number) ? drawOptions([anchor.bird], known, random) : undefined;
  return {
    images: [anchor.path],
    problem: ask(question, options, family),
    answer: nameOf(anchor.bird, family),
    image_noisy: [positive.path],
    image_aug: [negative.path],
    ...(options === undefined ? {} : { options: options.map((bird) => nameOf(bird, family)) }),
  };
}

const ask = (question: string, options: readonly Bird[] | undefined, family: Family): string =>
  options === undefined
    ? question
    : withOptions(
        question,
        options.map((bird) => nameOf(bird, family)),
      );
