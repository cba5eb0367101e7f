import type { Estimate } from '../eval/bootstrap.ts';
import { drawIntervals, drawLines, type Line } from './charts.ts';
import { percent } from './format.ts';
import { type Cell, html, type Html, table } from './html.ts';
import { gainOver, type ModelTest } from './modelTest.ts';
import type { Training } from './training.ts';

const PASSES: Record<string, string> = {
  stored: 'options in the order of the file',
  shuffled: 'options shuffled',
  rotations: 'options in all rotations',
  open: 'open world',
  classify: 'asked as finer1 classify does',
};

/** What a pass of a test is called. */
export const passName = (pass: string): string => PASSES[pass] ?? pass;

/** How right the models are: before and after, with intervals. */
export function results(tests: readonly ModelTest[], trainings: readonly Training[]): Html {
  const passes = [...new Set(tests.flatMap(({ figures = [] }) => figures.map(({ pass }) => pass)))];
  return html`${passes.map((pass) => resultsOfPass(pass, tests))} ${validations(trainings)}
  ${passes.length === 0 ? html`<p class="quiet">No test is among the runs: <code>finer1 eval --out</code> makes one.</p>` : undefined}`;
}

type Figures = NonNullable<ModelTest['figures']>[number]['groups'][number];
interface Row {
  test: ModelTest;
  /** what it is compared with */
  before: ModelTest | undefined;
  group: Figures;
}

function resultsOfPass(pass: string, tests: readonly ModelTest[]): Html {
  const asked = tests.filter(({ figures }) => figures?.some((one) => one.pass === pass));
  const rows = asked.flatMap((test, i) =>
    (test.figures?.find((one) => one.pass === pass)?.groups ?? []).map((group): Row => ({
      test,
      before: asked[i - 1],
      group,
    })),
  );
  const groups = [...new Set(rows.map(({ group }) => group.name))];
  const sorted = groups.flatMap((name) => rows.filter(({ group }) => group.name === name));
  const hasSimilarity = rows.some(({ group }) => group.similarity !== undefined);
  return html`<h3>Tests, ${passName(pass)}</h3>
    <p>Strictly right: exactly one known class is named, and it is the right one. 95 % intervals.</p>
    ${drawIntervals(
      `Strictly right, ${passName(pass)}`,
      sorted.map(({ test, group }) => ({
        group: group.name,
        name: test.name,
        colour: tests.indexOf(test),
        ...group.strict,
      })),
    )}
    ${table(
      [
        'model',
        'questions',
        'number',
        'strictly right',
        'gain over the one before',
        'right by the released rule',
        ...(hasSimilarity ? ['similarity'] : []),
        'right form',
        'truncated',
      ],
      sorted.map((row) => cellsOf(row, pass, hasSimilarity)),
    )}
    ${refusals(pass, asked, tests)}`;
}

/* What refusing the less probable does: wrong ones of the given answers, over the share that is given. */
function refusals(pass: string, asked: readonly ModelTest[], tests: readonly ModelTest[]): Html | undefined {
  const lines = asked.flatMap((test): Line[] => {
    const curve = test.figures?.find((one) => one.pass === pass)?.refusal?.curve;
    if (curve === undefined) return [];
    const points = curve.map(({ coverage, risk }) => ({ x: coverage, y: risk })).reverse();
    return [{ name: test.name, colour: tests.indexOf(test), dash: 0, points }];
  });
  if (lines.length === 0) return undefined;
  return html`<p>
      Refusing what is less probable (<code>finer1 classify --min-probability</code>): wrong ones of the
      answers that are given, over the share that is given; in the legend where all are given.
    </p>
    <div class="charts">
      ${drawLines({ title: 'Risk over coverage', lines, over: 'coverage', isShare: true, limits: [] })}
    </div>`;
}

function cellsOf({ test, before, group }: Row, pass: string, hasSimilarity: boolean): Cell[] {
  const answers = (one: ModelTest | undefined) => one?.answers.get(pass) ?? [];
  const gain = gainOver(answers(before), answers(test), group.name);
  return [
    { content: test.name },
    { content: group.name },
    { content: group.rows, sortBy: group.rows },
    estimate(group.strict),
    gain === undefined ? { content: '' } : { content: points(gain), sortBy: gain.mean },
    estimate(group.released),
    ...(hasSimilarity ? [group.similarity === undefined ? { content: '' } : estimate(group.similarity)] : []),
    share(group.wellFormed),
    share(group.truncated),
  ];
}

const share = (value: number): Cell => ({ content: percent(value), sortBy: value });
const range = ({ low, high }: Estimate): string => `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;
const estimate = (value: Estimate): Cell => ({
  content: html`<b>${percent(value.mean)}</b> <span class="quiet">(${range(value)})</span>`,
  sortBy: value.mean,
});
const points = (gain: Estimate): Html =>
  html`<b>${gain.mean > 0 ? '+' : ''}${(100 * gain.mean).toFixed(1)}</b> points
    <span class="quiet">(${range(gain)})</span>`;

/* What the trainings measured themselves. */
function validations(trainings: readonly Training[]): Html | undefined {
  const rows = trainings.flatMap(({ name, metrics }) => {
    const measured = ['validation/accuracy', 'reward/strict'] as const;
    return measured.flatMap((figure) => {
      const values = metrics.flatMap(({ step, [figure]: value }) => (value == null ? [] : [{ step, value }]));
      const [first, last] = [values[0], values.at(-1)];
      if (first === undefined || last === undefined) return [];
      const best = values.reduce((top, one) => (one.value > top.value ? one : top));
      const cell = ({ step, value }: typeof first): Cell => ({
        content: html`<b>${percent(value)}</b> <span class="quiet">step ${step}</span>`,
        sortBy: value,
      });
      const what = figure === 'reward/strict' ? 'rollouts, strictly right' : 'validation, exactly right';
      return [[{ content: name }, { content: what }, cell(first), cell(best), cell(last)]];
    });
  });
  if (rows.length === 0) return undefined;
  return html`<h3>On the way</h3>
    ${table(['training', 'measured', 'first', 'best', 'last'], rows)}`;
}
