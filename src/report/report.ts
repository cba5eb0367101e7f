import { count } from './format.ts';
import { createBlocks } from './blocks.ts';
import { classes, gatherClasses, type Classes } from './classes.ts';
import { confusionSection } from './confusionSection.ts';
import { curves } from './curves.ts';
import { findParts } from './find.ts';
import { type ModelTest, readModelTest } from './modelTest.ts';
import { page } from './page.ts';
import { loadPictures, type PictureRef } from './pictures.ts';
import { picturesOfPrompts, prompts } from './prompts.ts';
import { provenance } from './provenance.ts';
import { results } from './results.ts';
import { readTraining, type Training } from './training.ts';
import { warnings } from './warnings.ts';

/** A report on runs. */
export interface Report {
  /** one page that asks for nothing else */
  page: string;
  /** what is in it, in words */
  summary: string;
}

/**
 * Reports on trainings and tests: folders that `finer1 sft`, `tapo` or `eval` have written to, or that hold several of them.
 *
 * @param title of the page
 * @throws ConfigError if a folder holds none
 * @throws DataError that names file and line, if a file is damaged
 */
export async function report(runs: readonly string[], title: string): Promise<Report> {
  const trainings: Training[] = [];
  const tests: ModelTest[] = [];
  for (const part of findParts(runs)) {
    if (part.kind === 'training') trainings.push(await readTraining(part));
    else tests.push(await readModelTest(part));
  }
  const material = gatherClasses(trainings, tests);
  const pictures = await loadPictures(picturesOf(material, trainings));
  const blocks = createBlocks();
  const shown = { trainings, tests, classes: material, pictures, blocks };
  const sections = [
    { id: 'results', title: 'Results', content: results(tests, trainings) },
    { id: 'warnings', title: 'Alarms and warnings', content: warnings(trainings, tests, pictures) },
    { id: 'curves', title: 'Curves', content: curves(trainings) },
    { id: 'confusions', title: 'Confusions', content: confusionSection(trainings, tests) },
    { id: 'classes', title: 'Classes', content: classes(material, shown) },
    { id: 'prompts', title: 'Prompts always right or wrong', content: prompts(trainings, shown) },
    { id: 'runs', title: 'What was run', content: provenance(trainings, tests) },
  ];
  const responses =
    trainings.reduce((sum, { rollouts }) => sum + (rollouts?.responses ?? 0), 0) +
    tests.reduce((sum, { answers }) => sum + [...answers.values()].flat().length, 0);
  const summary = `${count(trainings.length, 'training')}, ${count(tests.length, 'test')}, ${count(responses, 'response')}`;
  return { page: page({ title, summary, sections, blocks: blocks.all(), pictures: pictures.uris }), summary };
}

function picturesOf(material: Classes, trainings: readonly Training[]): PictureRef[] {
  const shown = [...material.values()].flatMap(({ questions, drawn }) => [
    ...drawn.flatMap(({ groups }) => groups.flatMap(({ pictures }) => Object.values(pictures))),
    ...questions.flatMap(({ first: { image } }) =>
      image === undefined ? [] : [{ path: image, sha256: undefined }],
    ),
  ]);
  const ofPrompts = trainings.flatMap(({ rollouts }) => (rollouts ? picturesOfPrompts(rollouts) : []));
  return [...shown, ...ofPrompts];
}
