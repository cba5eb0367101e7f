/** A piece of HTML, in which what came from files is escaped. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Value = Html | string | number | undefined | readonly (Html | undefined)[];

/** HTML from a template: every value but pieces of HTML is escaped, in texts and in quoted attributes; undefined is nothing. */
export const html = (parts: TemplateStringsArray, ...values: readonly Value[]): Html =>
  new Html(String.raw({ raw: parts }, ...values.map(textOf)));

function textOf(value: Value): string {
  if (value === undefined) return '';
  if (value instanceof Html) return value.text;
  return typeof value === 'object' ? value.map(textOf).join('') : escape(String(value));
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (char) => ENTITIES[char] as string);

/** A cell of a table: what it shows, and a number to sort by where that is not the text. */
export interface Cell {
  content: Html | string | number | undefined;
  sortBy?: number;
}

/** A table whose columns can be sorted by a click on their heads; the first column names the rows. */
export function table(
  heads: readonly string[],
  rows: readonly (readonly (Cell | Cell['content'])[])[],
): Html {
  const cell = (value: Cell | Cell['content'], column: number): Html => {
    const { content, sortBy } =
      typeof value === 'object' && !(value instanceof Html) ? value : { content: value, sortBy: undefined };
    const sort = sortBy === undefined ? undefined : html` data-sort="${sortBy}"`;
    return column === 0 ? html`<th scope="row" ${sort}>${content}</th>` : html`<td${sort}>${content}</td>`;
  };
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          ${heads.map((head) => html`<th scope="col"><button type="button">${head}</button></th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${row.map(cell)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
