import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { constantPrompts } from '../../src/report/prompts.ts';
import { MAX_SHOWN, readRollouts, type Rollouts } from '../../src/report/rollouts.ts';
import { drawPictures, think, writeTapoRun } from './support.ts';

const CLASSES = ['red finch', 'blue finch', 'green finch', 'finch'];
let folder: string;
let pictures: string[];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-report-rollouts-'));
  pictures = await drawPictures(join(folder, 'pictures'), 5);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function rolloutsOf(name: string, steps: number, groupsPerStep: number): Promise<Rollouts> {
  writeTapoRun(join(folder, name), {
    ...{ classes: CLASSES, pictures, steps, groupsPerStep },
    respond: (label, step, sample) => {
      if (label === 'red finch') return think(label);
      if (label === 'blue finch') return think(step <= 2 ? 'red finch' : label);
      if (label === 'green finch') return think(sample % 2 === 0 ? label : 'red finch or blue finch');
      return 'no answer';
    },
  });
  const options = { steps, classes: CLASSES, onTorn: () => undefined };
  return (await readRollouts(join(folder, name, 'generations.jsonl'), options)) as Rollouts;
}

describe('readRollouts', () => {
  it('counts by class, in the first and the last third of the steps', async () => {
    const { responses, classes, confusions } = await rolloutsOf('counts', 6, 4);
    expect(responses).toBe(240);
    expect(classes.get('blue finch')).toEqual({
      all: { responses: 60, right: 40, strict: 40 },
      early: { responses: 20, right: 0, strict: 0 },
      late: { responses: 20, right: 20, strict: 20 },
    });
    const rowOf = (label: string) => Object.fromEntries(confusions.early.get(label) ?? []);
    expect(rowOf('blue finch')).toEqual({ 'red finch': 20 });
    expect(rowOf('green finch')).toEqual({ 'green finch': 10, '(several)': 10 });
    expect(rowOf('finch')).toEqual({ '(no class)': 20 });
    expect(Object.fromEntries(confusions.late.get('blue finch') ?? [])).toEqual({ 'blue finch': 20 });
  });

  it('finds prompts that were always right or always wrong', async () => {
    const { prompts } = await rolloutsOf('prompts', 3, 4);
    const { right, wrong } = constantPrompts(prompts);
    expect(right.map(({ row, label, responses }) => [row, label, responses])).toEqual([[0, 'red finch', 30]]);
    expect(wrong.map(({ row, label }) => [row, label])).toEqual([[3, 'finch']]);
  });

  it("keeps a triplet's pictures and responses together", async () => {
    const { shown } = await rolloutsOf('groups', 2, 4);
    expect(shown).toHaveLength(8);
    const [first] = shown;
    expect(first).toMatchObject({ step: 1, row: 0, label: 'red finch', prompt: 'Which one is it? (0)' });
    expect(first?.responses).toHaveLength(10);
    const path = (name: 'anchor' | 'positive' | 'negative') => first?.pictures[name]?.path;
    expect([path('anchor'), path('positive'), path('negative')]).toEqual(pictures.slice(0, 3));
  });

  it('shows no more than its limit, of each class evenly over the run, and counts all', async () => {
    const { responses, shown, prompts } = await rolloutsOf('many', 100, 28);
    expect(responses).toBe(28_000);
    const kept = shown.reduce((sum, group) => sum + group.responses.length, 0);
    expect(kept).toBeLessThanOrEqual(MAX_SHOWN);
    expect(kept).toBeGreaterThan(MAX_SHOWN / 2);
    expect(prompts.map((one) => one.responses)).toEqual([7000, 7000, 7000, 7000]);
    for (const label of CLASSES) {
      const steps = shown.filter((group) => group.label === label).map(({ step }) => step);
      expect(steps.length).toBe(shown.length / CLASSES.length);
      expect([Math.min(...steps), Math.max(...steps) > 97]).toEqual([1, true]);
    }
  });

  it('finds none in a run that draws none', async () => {
    const options = { steps: 1, classes: [], onTorn: () => undefined };
    expect(await readRollouts(join(folder, 'nothing.jsonl'), options)).toBeUndefined();
  });
});
