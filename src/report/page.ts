import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { FINER1_VERSION } from '../common/version.ts';
import { html, Html } from './html.ts';

/** What a page is made of. */
export interface PageParts {
  title: string;
  summary: string;
  sections: readonly { id: string; title: string; content: Html }[];
  /** packed parts */
  blocks: Html;
  /** data URIs */
  pictures: readonly string[];
}

/**
 * The whole page. It may load nothing, and run no script but its own: whatever is in the files that it shows, the browser holds it to
 * that.
 */
export function page({ title, summary, sections, blocks, pictures }: PageParts): string {
  const [script, style] = [asset('client.js'), asset('style.css')];
  const hash = createHash('sha256').update(script).digest('base64');
  const policy = [
    "default-src 'none'",
    'img-src data:',
    "style-src 'unsafe-inline'",
    `script-src 'sha256-${hash}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} - finer1 report</title>
        ${raw('style', style)}
      </head>
      <body>
        <div id="report">${body({ title, summary, sections })}</div>
        <main id="class-page" hidden>
          <section>
            <div class="pager">
              <a href="#classes">← All classes</a> <a id="previous" href="#">Previous</a>
              <a id="next" href="#">Next</a>
            </div>
            <div id="class-content"></div>
          </section>
        </main>
        ${blocks} ${raw('script type="text/plain" id="pictures"', pictures.join('\n'))}
        ${raw('script', script)}
      </body>
    </html>`.text;
}

const body = ({ title, summary, sections }: Pick<PageParts, 'title' | 'summary' | 'sections'>): Html => html`
  <header>
    <h1>${title}</h1>
    <p>${summary}</p>
  </header>
  <nav aria-label="Sections">
    ${sections.map(({ id, title: name }) => html`<a href="#${id}">${name}</a>`)}
  </nav>
  <main>
    <noscript><p>The pages of classes need JavaScript; all else does without.</p></noscript>
    ${sections.map(
      ({ id, title: name, content }) =>
        html`<section id="${id}">
          <h2>${name}</h2>
          ${content}
        </section>`,
    )}
  </main>
  <footer>Made by finer1 ${FINER1_VERSION}.</footer>
`;

/* An element whose content is no HTML, and not from files of runs. */
const raw = (tag: string, content: string): Html =>
  new Html(`<${tag}>${content}</${tag.split(' ')[0] ?? ''}>`);

/* In a checkout they stand beside this file; scripts/build.ts puts them into the package. */
function asset(name: string): string {
  const folder = import.meta.url.endsWith('.ts')
    ? join(import.meta.dirname, 'page')
    : join(dirname(createRequire(import.meta.url).resolve('finer1/package.json')), 'dist', 'page');
  return readFileSync(join(folder, name), 'utf8');
}
