import { namedClasses } from '../data/text/naming.ts';
import { addConfusion, type Confusions } from './confusions.ts';
import { generationRow, type GenerationRow, readLines } from './files.ts';
import type { PictureRef } from './pictures.ts';

/** The responses to a triplet in a step. */
export interface ShownGroup {
  step: number;
  row: number;
  label: string;
  prompt: string;
  pictures: Partial<Record<'anchor' | 'positive' | 'negative', PictureRef>>;
  responses: GenerationRow[];
}

/** How often responses were right. */
export interface Rightness {
  responses: number;
  /** by the rule of the reward */
  right: number;
  /** exactly one known class is named, the right one */
  strict: number;
}

/** The responses to a triplet in a whole run. */
export interface PromptTally extends Rightness {
  row: number;
  label: string;
  prompt: string;
  picture: PictureRef | undefined;
}

/** The first and the last third of a run's steps. */
export const PHASES = ['early', 'late'] as const;
export type Phase = (typeof PHASES)[number];

/** The responses that a training drew. */
export interface Rollouts {
  responses: number;
  classes: Map<string, Record<Phase | 'all', Rightness>>;
  prompts: PromptTally[];
  confusions: Record<Phase, Confusions>;
  /** evenly over the run, where there are too many to show them all */
  shown: ShownGroup[];
}

interface RolloutOptions {
  /** of the run so far */
  steps: number;
  /** all names that an answer could give */
  classes: readonly string[];
  onTorn: () => void;
}

/** Responses of a run that its report shows, at most; more would make it slow to open. */
export const MAX_SHOWN = 10_000;

/**
 * Reads `generations.jsonl`, which may be larger than memory: counts all, and keeps some to show.
 * @throws DataError that names file and line, if a row is damaged
 */
export async function readRollouts(file: string, options: RolloutOptions): Promise<Rollouts | undefined> {
  const rollouts: Rollouts = {
    responses: 0,
    classes: new Map(),
    prompts: [],
    confusions: { early: new Map(), late: new Map() },
    shown: [],
  };
  const prompts = new Map<number, PromptTally>();
  const shown = createSample();
  const named = createNaming(options.classes);
  let group: ShownGroup | undefined;
  let key = '';
  for await (const row of readLines(file, generationRow, options.onTorn)) {
    rollouts.responses++;
    const phase = phaseOf(row.step, options.steps);
    countIn(rollouts, row, phase);
    countPrompt(prompts, row);
    if (phase !== undefined) {
      const names = Number(row.reward.strict) === 1 ? [row.label] : named(row.answer ?? '');
      addConfusion(rollouts.confusions[phase], row.label, names);
    }
    if (`${row.step} ${row.group}` !== key) {
      if (group !== undefined) shown.add(group);
      group = {
        step: row.step,
        row: row.row,
        label: row.label,
        prompt: row.prompt,
        pictures: {},
        responses: [],
      };
      key = `${row.step} ${row.group}`;
    }
    if (group !== undefined) addTo(group, row);
  }
  if (group === undefined) return undefined;
  shown.add(group);
  return { ...rollouts, prompts: [...prompts.values()], shown: shown.kept() };
}

function phaseOf(step: number, steps: number): Phase | undefined {
  const third = Math.max(1, Math.floor(steps / 3));
  if (step <= third) return 'early';
  return step > steps - third ? 'late' : undefined;
}

const nothing = (): Rightness => ({ responses: 0, right: 0, strict: 0 });

function count(tally: Rightness, { reward }: GenerationRow): void {
  tally.responses++;
  tally.right += Number(reward.accuracy === 1);
  tally.strict += Number(reward.strict === 1);
}

function countIn({ classes }: Rollouts, row: GenerationRow, phase: Phase | undefined): void {
  const tallies = classes.get(row.label) ?? { all: nothing(), early: nothing(), late: nothing() };
  classes.set(row.label, tallies);
  count(tallies.all, row);
  if (phase !== undefined) count(tallies[phase], row);
}

function countPrompt(prompts: Map<number, PromptTally>, row: GenerationRow): void {
  const tally = prompts.get(row.row) ?? {
    ...nothing(),
    row: row.row,
    label: row.label,
    prompt: row.prompt,
    picture: undefined,
  };
  prompts.set(row.row, tally);
  count(tally, row);
  if (row.picture === 'anchor') tally.picture ??= refOf(row.images[0]);
}

const refOf = (image: GenerationRow['images'][number] | undefined): PictureRef | undefined =>
  image && { path: image.path, sha256: image.sha256 };

function addTo(group: ShownGroup, row: GenerationRow): void {
  const [seen, negative] = row.images.map(refOf);
  if (seen !== undefined) group.pictures[row.picture] ??= seen;
  if (negative !== undefined) group.pictures.negative ??= negative;
  group.responses.push(row);
}

/* The known classes that answers name; the same answers come again and again. */
function createNaming(classes: readonly string[]): (answer: string) => string[] {
  const known = new Map<string, string[]>();
  return (answer) => {
    const names = known.get(answer) ?? namedClasses(answer, classes);
    known.set(answer, names);
    return names;
  };
}

/* Groups of each class, every n-th of them, n as small as the limit allows. */
function createSample(): { add(group: ShownGroup): void; kept(): ShownGroup[] } {
  let every = 1;
  let kept: { number: number; group: ShownGroup }[] = [];
  let responses = 0;
  const numbers = new Map<string, number>();
  return {
    add: (group) => {
      const number = numbers.get(group.label) ?? 0;
      numbers.set(group.label, number + 1);
      if (number % every !== 0) return;
      kept.push({ number, group });
      responses += group.responses.length;
      while (responses > MAX_SHOWN && kept.some((one) => one.number > 0)) {
        every *= 2;
        kept = kept.filter((one) => one.number % every === 0);
        responses = kept.reduce((sum, one) => sum + one.group.responses.length, 0);
      }
    },
    kept: () => kept.map(({ group }) => group),
  };
}
