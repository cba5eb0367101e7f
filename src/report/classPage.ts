import type { AnswerRow, GenerationRow } from './files.ts';
import { short } from './format.ts';
import { html, type Html } from './html.ts';
import type { Pictures } from './pictures.ts';
import { passName } from './results.ts';
import type { ShownGroup } from './rollouts.ts';

/** What there is to show of a class. */
export interface ClassMaterial {
  label: string;
  /** of the tests, each with the answers of the models that were asked */
  questions: { first: AnswerRow; answers: { test: string; answer: AnswerRow }[] }[];
  questionsLeftOut: number;
  /** of the trainings */
  drawn: { training: string; groups: ShownGroup[] }[];
}

/** The page of a class: questions of the tests, and responses of the trainings, side by side. */
export function classPage(
  { label, questions, questionsLeftOut, drawn }: ClassMaterial,
  pictures: Pictures,
): Html {
  const leftOut =
    questionsLeftOut === 0 ? undefined : html`<p class="quiet">${questionsLeftOut} more are not shown.</p>`;
  return html`<h2>${label}</h2>
    ${
      questions.length === 0
        ? undefined
        : html`<h3>Tests</h3>
            ${questions.map((one) => question(one, pictures))} ${leftOut}`
    }
    ${drawn.map(
      ({ training, groups }) =>
        html`<h3>Rollouts of ${training}</h3>
          ${groups.map((group) => rollout(group, pictures))}`,
    )}`;
}

function question({ first, answers }: ClassMaterial['questions'][number], pictures: Pictures): Html {
  const { image, imagePath, options, label, pass } = first;
  const named = options.map((name) => html`${name === label ? html`<b>${name}</b>` : name}<br />`);
  return html`<article class="group">
    <header>
      ${pictures.show(image === undefined ? undefined : { path: image, sha256: undefined }, 'picture')}
      <p>${passName(pass)} <span class="quiet">${imagePath}</span> <br />${named}</p>
    </header>
    <div class="columns">
      ${answers.map(
        ({ test, answer: { strict, released, wellFormed, truncated, response } }) =>
          html`<section>
            <h4>${test}</h4>
            ${card(response, { strict, right: released, wellFormed, truncated }, undefined)}
          </section>`,
      )}
    </div>
  </article>`;
}

const PICTURES = ['anchor', 'positive', 'negative'] as const;

function rollout({ step, row, prompt, pictures: refs, responses }: ShownGroup, pictures: Pictures): Html {
  const isTrained = responses.some(({ trained }) => trained);
  return html`<article class="group">
    <header>
      ${PICTURES.map((name) => (refs[name] === undefined ? undefined : pictures.show(refs[name], name)))}
      <p>
        <b>Step ${step}, triplet ${row}</b>
        <span class="quiet">${isTrained ? 'trained on' : 'drawn, but not trained on'}</span><br />${prompt}
      </p>
    </header>
    <div class="columns">
      ${(['anchor', 'positive'] as const).map((name) => {
        const some = responses.filter(({ picture }) => picture === name);
        return some.length === 0
          ? undefined
          : html`<section>
              <h4>on the ${name}</h4>
              ${some.map(rolloutCard)}
            </section>`;
      })}
    </div>
  </article>`;
}

function rolloutCard({ response, reward, truncated, advantage }: GenerationRow): Html {
  const verdict = {
    strict: reward.strict === 1,
    right: reward.accuracy === 1,
    wellFormed: reward.format === 1,
    truncated,
  };
  const parts = html`<span>reward ${reward.overall === null ? 'not finite' : short(reward.overall)}</span>
    ${advantage === null ? undefined : advantageBar(advantage)}`;
  return card(response, verdict, parts);
}

/* As long as half of the bar. */
const LARGE_ADVANTAGE = 3;

function advantageBar(advantage: number): Html {
  const share = Math.min(1, Math.abs(advantage) / LARGE_ADVANTAGE);
  const side = advantage < 0 ? 'minus' : 'plus';
  return html`<span class="advantage ${side}" style="--share: ${share.toFixed(3)}">
    advantage ${advantage > 0 ? '+' : ''}${advantage.toFixed(2)}
  </span>`;
}

interface Verdict {
  strict: boolean;
  /** by the rule of the reward, or the released one */
  right: boolean;
  wellFormed: boolean;
  truncated: boolean;
}

function card(
  response: string,
  { strict, right, wellFormed, truncated }: Verdict,
  more: Html | undefined,
): Html {
  const [kind, mark] = strict
    ? ['right', '✓ right']
    : right
      ? ['partly', '≈ right, not strictly']
      : ['wrong', '✗ wrong'];
  return html`<div class="response ${kind}">
    <p class="marks">
      <span class="mark">${mark}</span>
      ${wellFormed ? undefined : html`<span class="mark bad">not in the right form</span>`}
      ${truncated ? html`<span class="mark bad">truncated</span>` : undefined} ${more}
    </p>
    <div class="text">${emphasised(response)}</div>
  </div>`;
}

/* The answer stands out. */
function emphasised(response: string): Html {
  const [all, answer] = /<answer>(.*?)<\/answer>/su.exec(response) ?? [];
  if (all === undefined || answer === undefined) return html`${response}`;
  const at = response.indexOf(all);
  const from = at + '<answer>'.length;
  return html`${response.slice(0, from)}<strong>${answer}</strong>${response.slice(from + answer.length)}`;
}
