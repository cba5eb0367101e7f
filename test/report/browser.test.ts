import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { report } from '../../src/report/report.ts';
import { MAX_SHOWN } from '../../src/report/rollouts.ts';
import { drawPictures, think, writeTapoRun, writeTest } from './support.ts';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);
const ALONE = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
];
const [KINDS, STEPS, GROUPS_PER_STEP] = [50, 20, 50];
const HOSTILE = '<script>window.harm = 1</script><img src="http://127.0.0.1:9/x" onerror="window.harm = 2">';
/* Responses that were laid out at once would be many times as much: each has a dozen nodes. */
const [MAX_SECONDS, MAX_NODES] = [1, 20_000];

/* Sorted by name, as the report has them. */
const CLASSES = Array.from({ length: KINDS }, (_, i) => `kind ${String(i).padStart(2, '0')}`);

describe.skipIf(CHROMIUM === undefined)(
  'a report of 10,000 responses in Chromium (skipped where it is not installed)',
  () => {
    let folder: string;
    let browser: Browser;
    let page: Page;
    let url: string;
    const requests: string[] = [];
    const errors: string[] = [];

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'finer1-browser-'));
      mkdirSync(join(folder, 'run'));
      const pictures = await drawPictures(join(folder, 'pictures'), 150);
      writeTapoRun(join(folder, 'run', 'tapo'), {
        ...{ classes: CLASSES, pictures, steps: STEPS, groupsPerStep: GROUPS_PER_STEP },
        respond: (label, step, sample) =>
          think(
            (sample + step) % 3 === 0 ? label : 'kind 00',
            `${HOSTILE} ${'a long tail, a red cap. '.repeat(20)} ${step} ${sample}`,
          ),
      });
      const test = { classes: CLASSES, pictures, questionsPerClass: 4 };
      writeTest(join(folder, 'run', 'before'), { ...test, respond: () => think('kind 00') });
      writeTest(join(folder, 'run', 'after'), { ...test, respond: (label) => think(label) });
      const { page: content, summary } = await report([join(folder, 'run')], 'run');
      expect(summary).toBe('1 training, 2 tests, 10,400 responses');
      expect(STEPS * GROUPS_PER_STEP * 10).toBe(MAX_SHOWN);
      expect(content.length).toBeLessThan(4e6);
      writeFileSync(join(folder, 'report.html'), content);
      url = pathToFileURL(join(folder, 'report.html')).href;
      browser = await chromium.launch({ executablePath: CHROMIUM as string, args: ALONE });
      page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
      page.on('request', (request) => requests.push(request.url()));
      page.on('pageerror', ({ message }) => errors.push(message));
      page.on('console', (message) => {
        if (message.type() === 'error') errors.push(message.text());
      });
    });
    afterAll(async () => {
      await browser.close();
      rmSync(folder, { recursive: true });
    });

    it('opens fast, and asks for nothing', async () => {
      const devTools = await page.context().newCDPSession(page);
      // Of the page's thread: other programs on the machine do not count.
      await devTools.send('Performance.enable', { timeDomain: 'threadTicks' });
      const started = performance.now();
      await page.goto(url, { waitUntil: 'load' });
      await page.getByRole('heading', { name: 'Results' }).waitFor();
      const wall = performance.now() - started;
      const { metrics } = await devTools.send('Performance.getMetrics');
      const of = (name: string): number => metrics.find((one) => one.name === name)?.value ?? NaN;
      const seconds = of('TaskDuration');
      console.log(
        `opened in ${(wall / 1e3).toFixed(2)} s, ${seconds.toFixed(2)} s of the processor; ${of('Nodes')} nodes`,
      );
      expect(seconds).toBeLessThan(MAX_SECONDS);
      expect(of('Nodes')).toBeLessThan(MAX_NODES);
      expect(requests).toEqual([url]);
      expect(errors).toEqual([]);
    });

    it("shows a class's pictures and responses when its name is clicked, and the way back", async () => {
      await page.getByRole('link', { name: 'kind 07' }).click();
      await page.getByRole('heading', { name: 'kind 07' }).waitFor();
      expect(await page.locator('#report').isVisible()).toBe(false);
      expect(await page.locator('.response').count()).toBe(10 * STEPS + 2 * 4);
      const image = page.locator('img[data-picture]').first();
      const width = () =>
        image.evaluate((element) => (element as unknown as { naturalWidth: number }).naturalWidth);
      await expect.poll(width).toBe(64);
      await page.getByRole('link', { name: 'Next' }).click();
      await page.getByRole('heading', { name: 'kind 08' }).waitFor();
      await page.goBack();
      await page.getByRole('heading', { name: 'kind 07' }).waitFor();
      await page.getByRole('link', { name: 'All classes' }).click();
      await expect.poll(() => page.locator('#report').isVisible()).toBe(true);
      const top = await page.evaluate("document.getElementById('classes').getBoundingClientRect().top");
      expect(Math.abs(top as number)).toBeLessThan(200);
    });

    it('shows hostile responses as text', async () => {
      await page.goto(`${url}#class-3`);
      await page.getByText('<script>window.harm = 1</script>').first().waitFor();
      expect(await page.evaluate('window.harm')).toBeUndefined();
      expect(requests.filter((one) => !/^(data|file):/.test(one))).toEqual([]);
      expect(errors).toEqual([]);
    });

    it('unpacks the prompts that were always right or wrong, and sorts tables', async () => {
      await page.goto(url);
      await page.getByText(/^Always right: 1$/).click();
      await page.locator('#prompts tbody tr').first().waitFor();
      expect(await page.locator('#prompts tbody tr').allInnerTexts()).toHaveLength(1);
      const names = page.locator('#classes tbody th');
      expect((await names.allInnerTexts())[0]).toBe('kind 00');
      await page.locator('#classes thead button').nth(3).click();
      expect(await page.locator('#classes thead th').nth(3).getAttribute('aria-sort')).toBe('descending');
      await page.locator('#classes thead button').first().click();
      expect((await names.allInnerTexts())[0]).toBe('kind 49');
    });

    it('has no part that is wider than a telephone', async () => {
      await page.setViewportSize({ width: 390, height: 800 });
      for (const place of ['', '#class-3']) {
        await page.goto(url + place);
        await page.locator(place === '' ? '#classes' : '#class-content h2').waitFor();
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
      }
    });
  },
);
