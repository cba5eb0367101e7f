import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parseHTML } from 'linkedom';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { report } from '../../src/report/report.ts';
import { openRun } from '../../src/train/run/runFolder.ts';
import { append, drawPictures, think, writeSftRun, writeTapoRun, writeTest } from './support.ts';

/* What of the browser's types is needed; this project has none of them. */
interface Element {
  nodeName: string;
  textContent: string;
  childNodes: Iterable<Element>;
  getAttribute(name: string): string | null;
  querySelector(selector: string): Element | null;
  querySelectorAll(selector: string): Iterable<Element>;
}

const CLASSES = ['red finch', 'blue finch', 'green finch', 'grey finch'];
let folder: string;
let pictures: string[];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-report-'));
  pictures = await drawPictures(join(folder, 'pictures'), 12);
});
afterEach(() => rmSync(folder, { recursive: true }));

const at = (...names: string[]): string => join(folder, ...names);
const parse = (text: string): Element => (parseHTML(text) as unknown as { document: Element }).document;

/* The words of an element, apart where elements part them; style sheets of plots left out. */
function textOf(element: Element | null | undefined): string {
  const words = (node: Element): string => {
    if (node.nodeName === '#text') return node.textContent;
    return node.nodeName.toLowerCase() === 'style' ? '' : ` ${[...node.childNodes].map(words).join('')} `;
  };
  return (element ? words(element) : '').replaceAll(/\s+/g, ' ').trim();
}

async function reportOn(...runs: string[]): Promise<Element> {
  return parse(
    (
      await report(
        runs.map((run) => at(run)),
        'runs',
      )
    ).page,
  );
}

/* What the page's script unpacks, by its id. */
function blocksOf(page: Element): Map<string, Element> {
  return new Map(
    [...page.querySelectorAll('script[id^="block-"]')].map((script) => [
      (script.getAttribute('id') ?? '').slice('block-'.length),
      parse(`<main>${gunzipSync(Buffer.from(script.textContent, 'base64')).toString()}</main>`).querySelector(
        'main',
      ) as Element,
    ]),
  );
}
const classPageOf = (page: Element, label: string): Element | undefined =>
  [...blocksOf(page).values()].find((block) => textOf(block.querySelector('h2')) === label);
const warningsOf = (page: Element): string[] => [...page.querySelectorAll('.warnings li')].map(textOf);

const writeTapo = (name: string, more: Partial<Parameters<typeof writeTapoRun>[1]> = {}): void =>
  writeTapoRun(at(name), {
    ...{ classes: CLASSES, pictures, steps: 3, groupsPerStep: 4 },
    respond: (label, step) => think(step < 3 && label === 'blue finch' ? 'red finch' : label),
    ...more,
  });
const writeBefore = (name: string): void =>
  writeTest(at(name), {
    classes: CLASSES,
    pictures,
    questionsPerClass: 5,
    respond: () => think('red finch'),
  });
const writeAfter = (name: string): void =>
  writeTest(at(name), { classes: CLASSES, pictures, questionsPerClass: 5, respond: (label) => think(label) });

describe('report', () => {
  it('puts trainings and tests side by side', async () => {
    writeBefore('quick/tests/base');
    writeSftRun(at('quick/sft'), 50, (step) => (step % 25 === 0 ? { 'validation/accuracy': step / 50 } : {}));
    writeTapo('quick/tapo');
    writeAfter('quick/tests/tapo');
    const { summary } = await report([at('quick')], 'quick');
    expect(summary).toBe('2 trainings, 2 tests, 160 responses');
    const page = await reportOn('quick');
    const results = textOf(page.querySelector('#results'));
    expect(results).toContain('base all 20 25.0 %');
    expect(results).toContain('tapo all 20 100.0 % (100.0 to 100.0) +75.0 points (55.0 to 90.0)');
    expect(results).toContain('tapo unseen 10 100.0 % (100.0 to 100.0) +100.0 points');
    expect(results).toContain('sft validation, exactly right 50.0 % step 25 100.0 % step 50 100.0 % step 50');
    const curves = [...page.querySelectorAll('#curves .chart strong')].map(textOf);
    expect(curves).toEqual(expect.arrayContaining(['Loss', 'Validation', 'Right in rollouts', 'Form']));
    expect([...page.querySelectorAll('#curves svg')]).toHaveLength(curves.length);
    expect(textOf(page.querySelector('#runs'))).toContain('time 1 min 40 s 2 min 00 s 1.2 x');
    expect(textOf(page.querySelector('#runs'))).toContain('/data/triplets.jsonl sha256 ab12');
  });

  it('draws what refusing the less probable does', async () => {
    // Right answers are the more probable: 5 of 20.
    writeTest(at('sure'), {
      ...{ classes: CLASSES, pictures, questionsPerClass: 5 },
      respond: () => think('red finch'),
      probability: (label, question) => (label === 'red finch' ? 0.9 : 0.5) + question / 100,
    });
    const results = (await reportOn('sure')).querySelector('#results') as Element;
    const charts = [...results.querySelectorAll('.chart')].map(textOf);
    expect(charts).toEqual([expect.stringContaining('Risk over coverage sure 75.0 %')]);
    expect([...results.querySelectorAll('.chart circle title')].map(textOf)).toEqual([
      ...[5, 10, 15, 20, 25].map((given) => `sure, coverage ${given}.0 %: 0.0 %`),
      ...['40.0 %: 37.5 %', '55.0 %: 54.5 %', '70.0 %: 64.3 %', '85.0 %: 70.6 %', '100.0 %: 75.0 %'].map(
        (point) => `sure, coverage ${point}`,
      ),
    ]);
  });

  it('says what was taken for what, the worst first', async () => {
    writeBefore('base');
    const page = await reportOn('base');
    const confusions = page.querySelector('#confusions');
    expect(textOf(confusions)).toContain('15 answers of 20 not right');
    expect(textOf(confusions)).toContain('blue finch red finch 5 100.0 %');
    expect([...page.querySelectorAll('#confusions rect title')].map(textOf)).toContain(
      'grey finch answered as red finch: 5 of 5 (100.0 %)',
    );
  });

  it('has a page for each class: pictures of its triplets, responses with what they earned', async () => {
    writeBefore('base');
    writeAfter('after');
    writeTapo('tapo');
    const page = await reportOn('base', 'after', 'tapo');
    const blue = classPageOf(page, 'blue finch') as Element;
    expect([...blue.querySelectorAll('figcaption')].map(textOf).slice(-3)).toEqual([
      'anchor',
      'positive',
      'negative',
    ]);
    const text = textOf(blue);
    expect(text).toContain('base ✗ wrong <think>a red cap</think> <answer> red finch </answer>');
    expect(text).toContain('after ✓ right <think>a red cap</think> <answer> blue finch </answer>');
    expect(text).toContain('Step 1, triplet 1 trained on Which one is it? (1)');
    expect(text).toContain('✗ wrong reward 0.1 advantage +0.75');
    expect(text).toContain('✓ right reward 1 advantage -0.75');
    const shown = [...blue.querySelectorAll('img')].map((image) =>
      Number(image.getAttribute('data-picture')),
    );
    const uris = page.querySelector('#pictures')?.textContent.split('\n') ?? [];
    expect(uris).toHaveLength(12);
    expect(Math.max(...shown)).toBeLessThan(12);
    expect(uris.every((uri) => /^data:image\/webp;base64,[\w+/=]+$/.test(uri))).toBe(true);
  });

  it('names prompts that are always right or always wrong', async () => {
    writeTapo('tapo', { respond: (label) => think(label === 'grey finch' ? 'red finch' : label) });
    const page = await reportOn('tapo');
    expect(textOf(page.querySelector('#prompts'))).toContain('Always wrong: 1 Always right: 3');
    expect(textOf(blocksOf(page).get('wrong-0') as Element)).toContain('grey finch 30 Which one is it? (3)');
  });

  it('shows alarms, skipped steps, failures, and what was left out', async () => {
    writeTapo('tapo', {
      figures: (step) => ({ 'reward/format': 0.4, skipped: Number(step === 2), updatesSkipped: 2 }),
    });
    append(at('tapo/generations.jsonl'), '{"step":4,"gro');
    writeBefore('base');
    rmSync(at('base/results.json'));
    writeAfter('after');
    {
      using run = openRun(at('failed'), { config: {}, resume: false });
      run.end('failed', 'The disk is full.');
    }
    expect(warningsOf(await reportOn('tapo', 'base', 'after', 'failed'))).toEqual([
      'tapo 3 steps beyond a limit of the alarms (1, 2, 3); in step 3, 40.0 % of the responses are in the right form (alarms.minFormat: 50.0 %).',
      'tapo 1 step skipped, not finite: 2.',
      'tapo 6 updates skipped, not finite.',
      'tapo The last row of generations.jsonl was torn by a kill: it is left out.',
      'failed The run failed: The disk is full.',
      'test base results.json is missing: the test was broken off after 20 answers.',
      'test after 1 row left out for want of a usable picture: eval.jsonl, row 99: there is no such file',
    ]);
  });

  it('shows pictures that are gone as missing, and says which have changed', async () => {
    writeTapo('tapo');
    rmSync(pictures[0] as string);
    writeFileSync(pictures[1] as string, readFileSync(pictures[2] as string));
    writeFileSync(pictures[3] as string, 'no picture');
    const page = await reportOn('tapo');
    expect(warningsOf(page)).toEqual([
      'Pictures 2 files cannot be shown: they are gone, or hold no picture.',
      'Pictures 1 file with another content than what was used: changed since.',
    ]);
    const red = textOf(classPageOf(page, 'red finch'));
    expect(red).toContain('missing anchor');
    expect(red).toContain('positive (the file has changed since)');
  });

  it('shows a run that logged nothing yet', async () => {
    {
      using run = openRun(at('new'), { config: {}, resume: false });
      run.sync();
    }
    const page = await reportOn('new');
    expect(warningsOf(page)).toEqual(['new The run was killed, or still runs.']);
    expect(textOf(page.querySelector('#classes'))).toContain('No responses are among the runs.');
  });

  it('names file and line of a damaged row', async () => {
    writeTapo('tapo');
    append(at('tapo/metrics.jsonl'), '{"step":}\n');
    await expect(report([at('tapo')], 'x')).rejects.toThrow(`${at('tapo/metrics.jsonl')}, row 4 is no JSON`);
  });
});

describe('a report on hostile files', () => {
  const HOSTILE = `"'><script>alert(1)</script><img src="http://x.invalid/" onerror=alert(2)></div></style><!--`;

  it('shows them as text, and runs no script but its own', async () => {
    const classes = CLASSES.map((name) => `${name}${HOSTILE}`);
    writeTapo('tapo', {
      classes,
      respond: (label) => think(label, HOSTILE),
      figures: () => ({ [HOSTILE]: 1 }),
    });
    writeTest(at('test'), {
      classes,
      pictures,
      questionsPerClass: 2,
      respond: (label) => think(label, HOSTILE),
    });
    {
      using run = openRun(at('failed'), { config: { name: HOSTILE }, resume: false });
      run.end('failed', HOSTILE);
    }
    const { page: text } = await report(
      ['tapo', 'test', 'failed'].map((run) => at(run)),
      HOSTILE,
    );
    const page = parse(text);
    for (const one of [page, ...blocksOf(page).values()]) {
      expect([...one.querySelectorAll('[onerror], [src], link, iframe')]).toEqual([]);
      const scripts = [...one.querySelectorAll('script:not([type])')];
      expect(scripts).toHaveLength(one === page ? 1 : 0);
    }
    expect(textOf(page.querySelector('h1'))).toBe(HOSTILE);
    expect(warningsOf(page)).toContain(`failed The run failed: ${HOSTILE}`);
    expect(textOf(classPageOf(page, classes[0] as string) as Element)).toContain(`<think>${HOSTILE}</think>`);
  });

  it('may load nothing, and the browser knows', async () => {
    writeTapo('tapo');
    const page = await reportOn('tapo');
    const script = page.querySelector('script:not([type])')?.textContent ?? '';
    const hash = createHash('sha256').update(script).digest('base64');
    expect(page.querySelector('meta[http-equiv="Content-Security-Policy"]')?.getAttribute('content')).toBe(
      `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`,
    );
  });
});
