import { describe, expect, it } from 'vitest';
import { html, Html, table } from '../../src/report/html.ts';

const HOSTILE = `</script><img src=x onerror="alert('1')">&`;
const ESCAPED = '&lt;/script&gt;&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;';

describe('html', () => {
  it('escapes what is not HTML, in texts, attributes and lists', () => {
    expect(html`<p title="${HOSTILE}">${HOSTILE}</p>`.text).toBe(`<p title="${ESCAPED}">${ESCAPED}</p>`);
    expect(html`${[html`<b>${HOSTILE}</b>`, html`<i></i>`]}`.text).toBe(`<b>${ESCAPED}</b><i></i>`);
  });

  it('keeps pieces of HTML, numbers and the characters of a template as they are', () => {
    expect(html`${new Html('<b>x</b>')} ${3}${undefined}`.text).toBe('<b>x</b> 3');
  });

  it('makes tables with the values to sort by', () => {
    const { text } = table(['name', 'share'], [[HOSTILE, { content: '50.0 %', sortBy: 0.5 }]]);
    expect(text).toContain('<button type="button">share</button>');
    expect(text).toContain(ESCAPED);
    expect(text).toContain('<td data-sort="0.5">50.0 %</td>');
  });
});
