import type { Blocks } from './blocks.ts';
import { classPage, type ClassMaterial } from './classPage.ts';
import { groupBy } from '../eval/groupBy.ts';
import type { AnswerRow } from './files.ts';
import { count, percent } from './format.ts';
import { type Cell, html, type Html, table } from './html.ts';
import type { ModelTest } from './modelTest.ts';
import type { Pictures } from './pictures.ts';
import { PHASES, type Rightness, type ShownGroup } from './rollouts.ts';
import type { Training } from './training.ts';

/** What classes the runs know, each with what there is to show of it. */
export type Classes = Map<string, ClassMaterial>;

/* Questions of the tests that a report shows, at most; more would make it slow to open. */
const MAX_QUESTIONS = 4000;

/** Sorts what there is to show by classes. */
export function gatherClasses(trainings: readonly Training[], tests: readonly ModelTest[]): Classes {
  const labels = new Set([
    ...trainings.flatMap(({ rollouts }) => [...(rollouts?.classes.keys() ?? [])]),
    ...tests.flatMap(({ answers }) => [...answers.values()].flat().map(({ label }) => label)),
  ]);
  const groups = trainings.map((training) => ({
    training: training.name,
    byLabel: groupBy(training.rollouts?.shown ?? [], ({ label }) => label),
  }));
  const questions = questionsOf(tests);
  const total = [...questions.values()].reduce((sum, some) => sum + some.length, 0);
  const every = Math.max(1, Math.ceil(total / MAX_QUESTIONS));
  return new Map(
    [...labels]
      .sort((a, b) => a.localeCompare(b))
      .map((label) => {
        const asked = questions.get(label) ?? [];
        const shown = asked.filter((_, i) => i % every === 0);
        const drawn = groups.flatMap(({ training, byLabel }) => {
          const some: ShownGroup[] = byLabel.get(label) ?? [];
          return some.length === 0 ? [] : [{ training, groups: some }];
        });
        return [label, { label, questions: shown, questionsLeftOut: asked.length - shown.length, drawn }];
      }),
  );
}

/* The questions of each class, with what each test's model answered. */
function questionsOf(tests: readonly ModelTest[]): Map<string, ClassMaterial['questions']> {
  const all = tests.flatMap((test) =>
    [...test.answers.values()].flat().map((answer) => ({ test: test.name, answer })),
  );
  const idOf = ({ answer: { pass, key, turn } }: { answer: AnswerRow }): string => `${pass} ${key} ${turn}`;
  const questions = [...groupBy(all, idOf).values()].flatMap((answers) => {
    const [first] = answers;
    return first === undefined ? [] : [{ first: first.answer, answers }];
  });
  return groupBy(questions, ({ first }) => first.label);
}

/** The table of all classes; their pages go to `blocks`. */
export function classes(
  all: Classes,
  {
    trainings,
    tests,
    pictures,
    blocks,
  }: { trainings: readonly Training[]; tests: readonly ModelTest[]; pictures: Pictures; blocks: Blocks },
): Html {
  if (all.size === 0) return html`<p class="quiet">No responses are among the runs.</p>`;
  const drawing = trainings.filter(({ rollouts }) => rollouts !== undefined);
  const byLabel = tests.map(({ answers }) => groupBy([...answers.values()].flat(), ({ label }) => label));
  const rows = [...all.values()].map((material, i) => {
    const id = `class-${i}`;
    blocks.add(id, classPage(material, pictures));
    return [
      html`<a href="#${id}">${material.label}</a>`,
      ...drawing.flatMap(({ rollouts }) => {
        const tallies = rollouts?.classes.get(material.label);
        return PHASES.map((phase) => rightness(tallies?.[phase]));
      }),
      ...byLabel.map((answers) => {
        const some = answers.get(material.label) ?? [];
        const strict = some.filter((one) => one.strict).length;
        return rightness({ responses: some.length, right: strict, strict });
      }),
    ];
  });
  const heads = [
    count(all.size, 'class', 'classes'),
    ...drawing.flatMap(({ name }) => [`${name}, first rollouts`, `${name}, last rollouts`]),
    ...tests.map(({ name }) => `test ${name}`),
  ];
  return html`<p>Strictly right, by class. A class's name leads to its pictures and responses.</p>
    ${table(heads, rows)}`;
}

function rightness(tally: Rightness | undefined): Cell {
  if (tally === undefined || tally.responses === 0) return { content: '' };
  const share = tally.strict / tally.responses;
  return {
    content: html`<span class="bar" style="--share: ${share.toFixed(3)}">${percent(share)}</span>
      <span class="quiet">of ${tally.responses}</span>`,
    sortBy: share,
  };
}
