import { describeSeconds } from '../common/progress.ts';
import type { RunFacts } from './files.ts';
import { bytes, short } from './format.ts';
import { html, type Html, table } from './html.ts';
import type { ModelTest } from './modelTest.ts';
import type { Training } from './training.ts';

/** What was run: facts, sessions, what was foretold and how it went, configs and settings. */
export function provenance(trainings: readonly Training[], tests: readonly ModelTest[]): Html {
  return html`${trainings.map(ofTraining)} ${tests.map(ofTest)}`;
}

type Fact = [name: string, value: Html | string | number | undefined];

const facts = (all: readonly Fact[]): Html =>
  html`<dl>
    ${all.map(([name, value]) =>
      value === undefined
        ? undefined
        : html`<dt>${name}</dt>
            <dd>${value}</dd>`,
    )}
  </dl>`;

function ofTraining({ name, folder, stage, facts: known, config, metrics, rollouts }: Training): Html {
  const { backend, model, seed, data, weights, sessions } = known;
  const steps = metrics.at(-1)?.step ?? 0;
  const total = known.totalSteps ?? known.plan?.totalSteps;
  return html`<details class="run">
    <summary>
      <b>${name}</b>
      <span class="quiet">finer1 ${stage}, ${sessions.at(-1)?.outcome ?? 'no end was written down'}</span>
    </summary>
    ${facts([
      ['Folder', folder],
      ['Steps', `${steps}${total === undefined ? '' : ` of ${total}`}`],
      ['Responses drawn', rollouts?.responses.toLocaleString('en')],
      ['Began with', model],
      ['Backend', backend && `${backend.backend}, ${backend.device}: ${backend.why}`],
      ['Seed', seed],
      ['Data', hashes(data)],
      ['Weights', hashes(weights)],
    ])}
    ${sessionTable(sessions)} ${foretold(known)}
    ${
      config === undefined
        ? undefined
        : html`<details>
            <summary>config.yaml</summary>
            <pre>${config}</pre>
          </details>`
    }
  </details>`;
}

function ofTest({ name, folder, settings, answers }: ModelTest): Html {
  const number = [...answers.values()].reduce((sum, some) => sum + some.length, 0);
  return html`<details class="run">
    <summary>
      <b>${name}</b> <span class="quiet">finer1 eval, ${number.toLocaleString('en')} answers</span>
    </summary>
    ${facts([['Folder', folder]])}
    <details>
      <summary>settings.json</summary>
      <pre>${JSON.stringify(settings, undefined, 2)}</pre>
    </details>
  </details>`;
}

const hashes = (of: Readonly<Record<string, string>>): Html | undefined =>
  Object.keys(of).length === 0
    ? undefined
    : html`${Object.entries(of).map(([path, hash]) => html`${path} <code>sha256 ${hash}</code><br />`)}`;

function sessionTable(sessions: RunFacts['sessions']): Html | undefined {
  if (sessions.length === 0) return undefined;
  const time = (iso: string | undefined): string => iso?.slice(0, 19).replace('T', ' ') ?? '';
  return html`<h4>Sessions</h4>
    ${table(
      ['began (UTC)', 'ended', 'outcome', 'after step', 'finer1', 'Node', 'commit'],
      sessions.map(({ started, ended, outcome, fromStep, finer1, node, commit }) => [
        time(started),
        time(ended),
        outcome ?? '',
        fromStep,
        finer1,
        node,
        commit === undefined ? '' : html`<code>${commit}</code>`,
      ]),
    )}`;
}

/* What the plan said, and how it went since the last start. */
function foretold({ predicted, actual }: RunFacts): Html | undefined {
  if (predicted === undefined) return undefined;
  const number = (of: Record<string, unknown> | undefined, name: string): number | undefined =>
    typeof of?.[name] === 'number' ? of[name] : undefined;
  const perStep = (of: Record<string, unknown> | undefined): number | undefined => {
    const [seconds, steps] = [number(of, 'seconds'), number(of, 'steps')];
    return seconds === undefined || !steps ? undefined : seconds / steps;
  };
  const row = (
    what: string,
    pair: [number | undefined, number | undefined],
    show: (value: number) => string,
  ) => {
    const [before, after] = pair;
    const ratio = before === undefined || after === undefined ? '' : `${short(after / before)} x`;
    return [what, ...pair.map((value) => (value === undefined ? '' : show(value))), ratio];
  };
  const both = (name: string): [number | undefined, number | undefined] => [
    number(predicted, name),
    number(actual, name),
  ];
  return html`<h4>Foretold, and how it went</h4>
    ${table(
      ['', 'foretold', 'actual', 'actual / foretold'],
      [
        row('steps', both('steps'), String),
        row('time', both('seconds'), describeSeconds),
        row('time of a step', [perStep(predicted), perStep(actual)], (seconds) => `${short(seconds)} s`),
        row('memory', both('memoryBytes'), bytes),
      ],
    )}`;
}
