import { createRandom, shuffled } from '../../common/random.ts';
import type { ClassRow } from '../rows.ts';
import { withOptions } from '../text/question.ts';
import { centred, cosine, meanOf } from './embeddings.ts';

/** How pictures of classes become rows of training and test. */
export interface PrepareOptions {
  /** training pictures of each seen class */
  shots: number;
  /** what is asked about each picture */
  question: string;
  /** names to choose from, the right one included */
  options: number;
  seed: number;
}

/** The paper's: four pictures a class, four options. */
export const DEFAULT_OPTIONS: PrepareOptions = {
  shots: 4,
  question: 'What is the name of the object in this picture?',
  options: 4,
  seed: 1,
};

/** A picture with what a model sees in it. */
export interface SeenPicture {
  row: ClassRow;
  embedding: Float32Array;
}

/** A row of stage 2, before its pictures are of one size. */
export interface PlannedTriplet {
  anchor: string;
  positive: string;
  negative: string;
  problem: string;
  answer: string;
  options: string[];
}

/** A question of a test. */
export interface PlannedQuestion {
  image: string;
  question: string;
  options: string[];
  groundTruth: string;
}

/** What is made of the pictures. */
export interface PreparedRows {
  triplets: PlannedTriplet[];
  tests: Record<'seen' | 'unseen', PlannedQuestion[]>;
  /** all names, sorted */
  classes: string[];
  /** seen classes with a single training picture: they have no positive */
  withoutPositive: string[];
}

/** A class: where its pictures lie on average, and those that are trained on. */
interface PictureClass {
  name: string;
  seen: boolean;
  centre: Float32Array;
  shots: SeenPicture[];
}

/**
 * The training pictures that are used: of each seen class as many as `shots` says, drawn by the seed.
 * @param rows of the train split or not: others are left out
 */
export function drawShots<T extends Pick<ClassRow, 'label' | 'split' | 'seen'>>(
  rows: readonly T[],
  { shots, seed }: Pick<PrepareOptions, 'shots' | 'seed'>,
): T[] {
  const training = rows.filter(({ split, seen }) => split === 'train' && seen);
  return namesOf(training).flatMap((name, i) =>
    shuffled(
      createRandom(seed, 'shots', i),
      training.filter(({ label }) => label === name),
    ).slice(0, shots),
  );
}

/**
 * Makes triplets (section 3.2: an anchor, another picture of its class, one of the most similar other class) and test
 * questions, whose wrong options are the classes that look most alike. Classes are compared by the cosine of their mean
 * embeddings, after the mean of all is taken off.
 *
 * @param training what `drawShots` gives
 * @param tests all pictures of the test split
 */
export function planRows(
  training: readonly SeenPicture[],
  tests: readonly SeenPicture[],
  options: PrepareOptions,
): PreparedRows {
  const classes = classesOf(training, tests);
  const nearest = new Map(classes.map((one) => [one.name, byLikeness(one, classes)]));
  const seen = classes.filter(({ shots }) => shots.length > 0);
  const namesFor = (name: string, purpose: string, i: number): string[] => {
    const wrong = (nearest.get(name) ?? []).slice(0, options.options - 1).map((one) => one.name);
    return shuffled(createRandom(options.seed, purpose, i), [name, ...wrong]);
  };
  const triplets = seen.flatMap((one) => tripletsOf(one, nearest.get(one.name) ?? []));
  const asked = (isSeen: boolean): PlannedQuestion[] =>
    tests.flatMap(({ row }, i) => {
      if (row.seen !== isSeen) return [];
      const named = namesFor(row.label, 'question', i);
      return [{ image: row.image, question: options.question, options: named, groundTruth: row.label }];
    });
  return {
    triplets: triplets.map((triplet, i) => {
      const names = namesFor(triplet.answer, 'triplet', i);
      return { ...triplet, problem: withOptions(options.question, names), options: names };
    }),
    tests: { seen: asked(true), unseen: asked(false) },
    classes: classes.map(({ name }) => name),
    withoutPositive: seen.filter(({ shots }) => shots.length === 1).map(({ name }) => name),
  };
}

function classesOf(training: readonly SeenPicture[], tests: readonly SeenPicture[]): PictureClass[] {
  const all = [...training, ...tests];
  const middle = meanOf(all.map(({ embedding }) => embedding));
  return namesOf(all.map(({ row }) => row)).map((name) => {
    const of = (pictures: readonly SeenPicture[]): SeenPicture[] =>
      pictures
        .filter(({ row }) => row.label === name)
        .map(({ row, embedding }) => ({ row, embedding: centred(embedding, middle) }));
    const [shots, others] = [of(training), of(tests)];
    const pictures = shots.length > 0 ? shots : others;
    return {
      name,
      seen: pictures[0]?.row.seen ?? false,
      centre: meanOf(pictures.map(({ embedding }) => embedding)),
      shots,
    };
  });
}

const namesOf = (rows: readonly Pick<ClassRow, 'label'>[]): string[] =>
  [...new Set(rows.map(({ label }) => label))].sort();

/* The other classes, the most similar one first; by name where they are equally so. */
function byLikeness({ name, centre }: PictureClass, classes: readonly PictureClass[]): PictureClass[] {
  return classes
    .filter((other) => other.name !== name)
    .map((other) => ({ other, likeness: cosine(centre, other.centre) }))
    .sort((a, b) => b.likeness - a.likeness)
    .map(({ other }) => other);
}

type Pictures = Omit<PlannedTriplet, 'problem' | 'options'>;

/* Each picture is an anchor once; its positive is the next one of its class. */
function tripletsOf({ name, shots }: PictureClass, nearest: readonly PictureClass[]): Pictures[] {
  const rival = nearest.find((other) => other.shots.length > 0);
  if (rival === undefined || shots.length < 2) return [];
  return shots.map(({ row, embedding }, i) => {
    const likest = rival.shots.reduce((best, one) =>
      cosine(embedding, one.embedding) > cosine(embedding, best.embedding) ? one : best,
    );
    const positive = shots[(i + 1) % shots.length] as SeenPicture;
    return { anchor: row.image, positive: positive.row.image, negative: likest.row.image, answer: name };
  });
}
