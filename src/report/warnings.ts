import { compareWithLimit, isBeyond, WATCHED } from '../config/tapoAlarms.ts';
import { count, percent } from './format.ts';
import { html, type Html } from './html.ts';
import type { ModelTest } from './modelTest.ts';
import type { Pictures } from './pictures.ts';
import type { Training } from './training.ts';

/* Something that a person should know of a run. */
interface Warning {
  run: string;
  isBad: boolean;
  text: string;
}

const NAMED_AT_MOST = 10;

/** Alarms, skipped steps and whatever else may not be silent. */
export function warnings(
  trainings: readonly Training[],
  tests: readonly ModelTest[],
  pictures: Pictures,
): Html {
  const all = [...trainings.flatMap(ofTraining), ...tests.flatMap(ofTest), ...ofPictures(pictures)];
  if (all.length === 0) return html`<p class="good">No alarm, no skipped step, nothing left out.</p>`;
  return html`<ul class="warnings">
    ${all.map(
      ({ run, isBad, text }) => html`<li class="${isBad ? 'bad' : 'warn'}"><b>${run}</b> ${text}</li>`,
    )}
  </ul>`;
}

function ofTraining(training: Training): Warning[] {
  const { name, facts, metrics, notes } = training;
  const warn = (text: string, isBad = false): Warning => ({ run: name, isBad, text });
  const skipped = metrics.filter((row) => row.skipped === 1).map(({ step }) => step);
  const updatesSkipped = metrics.reduce((sum, row) => sum + (row.updatesSkipped ?? 0), 0);
  return [
    ...outcomes(training).map((text) => warn(text, true)),
    ...beyondLimits(training).map((text) => warn(text)),
    ...(skipped.length > 0
      ? [warn(`${count(skipped.length, 'step')} skipped, not finite: ${listed(skipped)}.`)]
      : []),
    ...(updatesSkipped > 0 ? [warn(`${count(updatesSkipped, 'update')} skipped, not finite.`)] : []),
    ...(facts.rowsTooLong > 0 ? [warn(`${count(facts.rowsTooLong, 'row')} left out: too many tokens.`)] : []),
    ...notes.map((text) => warn(text)),
    ...notShown(training).map((text) => warn(text)),
  ];
}

function notShown({ rollouts }: Training): string[] {
  if (rollouts === undefined) return [];
  const shown = rollouts.shown.reduce((sum, { responses }) => sum + responses.length, 0);
  return shown === rollouts.responses
    ? []
    : [
        `Of ${count(rollouts.responses, 'response')}, ${shown.toLocaleString('en')} are shown, evenly over the run; all are counted.`,
      ];
}

/* How sessions ended that did not end well. */
function outcomes({ facts: { sessions } }: Training): string[] {
  return sessions.flatMap(({ started, outcome, reason }, i) => {
    const which = sessions.length === 1 ? 'The run' : `Session ${i + 1} (${started})`;
    if (outcome === 'failed') return [`${which} failed: ${reason ?? 'why was not written down'}`];
    if (outcome === 'interrupted') return [`${which} was interrupted.`];
    return outcome === undefined ? [`${which} was killed, or still runs.`] : [];
  });
}

/* Steps beyond the limits of the alarms, whether or not they made one sound. */
function beyondLimits({ metrics, limits }: Training): string[] {
  if (limits === undefined) return [];
  return WATCHED.flatMap((watched) => {
    const values = metrics.flatMap(({ step, [watched.figure]: value }) =>
      value == null ? [] : [{ step, value }],
    );
    const first = values[0]?.value ?? NaN;
    const beyond = values.filter(({ value }) => isBeyond(watched, value, first, limits));
    const last = beyond.at(-1);
    if (last === undefined) return [];
    const what = compareWithLimit(watched, last.value, first, limits);
    return [
      `${count(beyond.length, 'step')} beyond a limit of the alarms (${listed(beyond.map(({ step }) => step))}); in step ${last.step}, ${what}.`,
    ];
  });
}

function ofTest({ name, leftOut, figures = [], notes }: ModelTest): Warning[] {
  const warn = (text: string): Warning => ({ run: `test ${name}`, isBad: false, text });
  const first = leftOut
    .slice(0, NAMED_AT_MOST)
    .map(({ file, row, reason }) => `${file}, row ${row}: ${reason}`);
  const cut = figures.flatMap(({ groups }) => groups.slice(0, 1)).filter(({ truncated }) => truncated > 0);
  return [
    ...notes.map(warn),
    ...(leftOut.length > 0
      ? [
          warn(
            `${count(leftOut.length, 'row')} left out for want of a usable picture: ${first.join('; ')}${leftOut.length > first.length ? '; ...' : ''}`,
          ),
        ]
      : []),
    ...cut.map(({ truncated }) =>
      warn(`${percent(truncated)} of the responses were cut at the limit of tokens.`),
    ),
  ];
}

function ofPictures({ missing, changed, leftOut }: Pictures): Warning[] {
  const warn = (number: number, text: string): Warning[] =>
    number === 0 ? [] : [{ run: 'Pictures', isBad: false, text: `${count(number, 'file')} ${text}` }];
  return [
    ...warn(missing, 'cannot be shown: they are gone, or hold no picture.'),
    ...warn(changed, 'with another content than what was used: changed since.'),
    ...warn(leftOut, 'left out of this report, which would be slow to open.'),
  ];
}

const listed = (steps: readonly number[]): string =>
  steps.slice(0, NAMED_AT_MOST).join(', ') + (steps.length > NAMED_AT_MOST ? ', ...' : '');
