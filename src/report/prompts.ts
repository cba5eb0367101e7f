import type { Blocks } from './blocks.ts';
import type { Classes } from './classes.ts';
import { count } from './format.ts';
import { html, type Html, table } from './html.ts';
import type { PictureRef, Pictures } from './pictures.ts';
import type { PromptTally, Rollouts } from './rollouts.ts';
import type { Training } from './training.ts';

/* Prompts that a list names, at most. */
const MAX_NAMED = 300;

/** Prompts that were right, or wrong, in every response of a run: there is nothing to learn from them. */
export function prompts(
  trainings: readonly Training[],
  { classes, pictures, blocks }: { classes: Classes; pictures: Pictures; blocks: Blocks },
): Html {
  const pages = new Map([...classes.keys()].map((label, i) => [label, `class-${i}`]));
  const drawing = trainings.flatMap(({ name, rollouts }) =>
    rollouts === undefined ? [] : [{ name, rollouts }],
  );
  if (drawing.length === 0) return html`<p class="quiet">No responses were drawn.</p>`;
  return html`${drawing.map(({ name, rollouts }, i) => {
    const { right, wrong } = constantPrompts(rollouts.prompts);
    const list = (id: string, what: string, some: readonly PromptTally[]): Html => {
      if (some.length === 0) return html`<p>${what}: none.</p>`;
      blocks.add(id, listOf(some, pages, pictures));
      return html`<details data-block="${id}">
        <summary>${what}: ${some.length}</summary>
      </details>`;
    };
    return html`<h3>${name}</h3>
      <p>
        ${count(rollouts.prompts.length, 'triplet')} drawn, ${count(rollouts.responses, 'response')}; right by
        the rule of the reward, in all steps together.
      </p>
      ${list(`wrong-${i}`, 'Always wrong', wrong)} ${list(`right-${i}`, 'Always right', right)}`;
  })}`;
}

/** The prompts with one outcome, those with the most responses first. */
export function constantPrompts(all: readonly PromptTally[]): Record<'right' | 'wrong', PromptTally[]> {
  const sorted = [...all].sort((a, b) => b.responses - a.responses || a.row - b.row);
  return {
    right: sorted.filter(({ right, responses }) => right === responses),
    wrong: sorted.filter(({ right }) => right === 0),
  };
}

/** The pictures that the lists show. */
export function picturesOfPrompts({ prompts: all }: Rollouts): PictureRef[] {
  const { right, wrong } = constantPrompts(all);
  return [right, wrong].flatMap((some) =>
    some.slice(0, MAX_NAMED).flatMap(({ picture }) => (picture === undefined ? [] : [picture])),
  );
}

function listOf(some: readonly PromptTally[], pages: ReadonlyMap<string, string>, pictures: Pictures): Html {
  const rows = some
    .slice(0, MAX_NAMED)
    .map(({ row, label, prompt, responses, picture }) => [
      { content: pictures.show(picture, `triplet ${row}`), sortBy: row },
      html`<a href="#${pages.get(label)}">${label}</a>`,
      { content: responses, sortBy: responses },
      html`<span class="long">${prompt}</span>`,
    ]);
  const more = some.length - rows.length;
  return html`${table(['anchor', 'class', 'responses', 'prompt'], rows)}
  ${more > 0 ? html`<p class="quiet">${more} more are not named.</p>` : undefined}`;
}
