import { drawMatrix } from './charts.ts';
import { type Confusions, NONE, SEVERAL, totalOf, worstConfusions } from './confusions.ts';
import { count, percent } from './format.ts';
import { html, type Html, table } from './html.ts';
import { confusionsOf, type ModelTest } from './modelTest.ts';
import { passName } from './results.ts';
import { PHASES } from './rollouts.ts';
import type { Training } from './training.ts';

/* Larger matrices cannot be read. */
const MAX_CLASSES = 40;
const MAX_LISTED = 15;
const OTHER = '(other class)';

interface Named {
  name: string;
  confusions: Confusions;
}

/** What is taken for what: a matrix and the worst confusions of each test, and of the first and last rollouts. */
export function confusionSection(trainings: readonly Training[], tests: readonly ModelTest[]): Html {
  const all = [
    ...trainings.flatMap(({ name, rollouts }) =>
      rollouts === undefined
        ? []
        : PHASES.map((phase) => ({
            name: `${name}: ${phase === 'early' ? 'first' : 'last'} third of the steps`,
            confusions: rollouts.confusions[phase],
          })),
    ),
    ...tests.flatMap(({ name, answers }) =>
      [...answers].map(([pass, rows]) => ({
        name: `test ${name}, ${passName(pass)}`,
        confusions: confusionsOf(rows),
      })),
    ),
  ].filter(({ confusions }) => confusions.size > 0);
  if (all.length === 0) return html`<p class="quiet">No answers are among the runs.</p>`;
  const { classes, isAll } = mostConfused(all);
  return html`<p>
      Rows are what was right, columns what was answered; the darker, the larger the share of the row.
      ${isAll ? undefined : `Of all classes, the ${classes.length} that are confused most often, over everything that is compared here.`}
    </p>
    ${all.map((one, i) => details(one, classes, i === all.length - 1))}`;
}

function details({ name, confusions }: Named, classes: readonly string[], isOpen: boolean): Html {
  const worst = worstConfusions(confusions);
  const answers = [...confusions.values()].reduce((sum, row) => sum + totalOf(row), 0);
  const wrong = worst.reduce((sum, one) => sum + one.count, 0);
  const shown = new Set(
    [...confusions].filter(([label]) => classes.includes(label)).flatMap(([, row]) => [...row.keys()]),
  );
  const others = [
    ...[NONE, SEVERAL].filter((other) => shown.has(other)),
    ...([...shown].some((answer) => ![...classes, NONE, SEVERAL].includes(answer)) ? [OTHER] : []),
  ];
  const rows = worst
    .slice(0, MAX_LISTED)
    .map((one) => [
      one.label,
      one.answer,
      { content: one.count, sortBy: one.count },
      { content: percent(one.share), sortBy: one.share },
    ]);
  return html`<details name="confusions" ${isOpen ? html`open` : undefined}>
    <summary>${name}: ${count(wrong, 'answer')} of ${answers.toLocaleString('en')} not right</summary>
    <div class="confusions">
      ${classes.length === 0 ? undefined : drawMatrix(`Confusions, ${name}`, confusions, classes, others)}
      <div>
        <h4>Worst confusions</h4>
        ${rows.length === 0 ? html`<p>None.</p>` : table(['right', 'answered', 'times', 'of the class'], rows)}
      </div>
    </div>
  </details>`;
}

/* Classes that are taken for one another, sorted by name: similar ones often have similar names. */
function mostConfused(all: readonly Named[]): { classes: string[]; isAll: boolean } {
  const known = new Set(all.flatMap(({ confusions }) => [...confusions.keys()]));
  const times = new Map([...known].map((label) => [label, 0]));
  for (const { label, answer, count: more } of all.flatMap(({ confusions }) => worstConfusions(confusions))) {
    if (answer === NONE || answer === SEVERAL) continue;
    for (const name of [label, answer]) if (known.has(name)) times.set(name, (times.get(name) ?? 0) + more);
  }
  const classes = [...times]
    .sort(([a, m], [b, n]) => n - m || a.localeCompare(b))
    .slice(0, MAX_CLASSES)
    .map(([label]) => label)
    .sort((a, b) => a.localeCompare(b));
  return { classes, isAll: classes.length === known.size };
}
