import { gzipSync } from 'node:zlib';
import { html, type Html } from './html.ts';

/** Parts of a page that are packed, and unpacked when somebody wants to see them. */
export interface Blocks {
  /** @param id of letters, digits and `-` */
  add(id: string, content: Html): void;
  /** what goes into the page */
  all(): Html;
}

/** Makes parts of a page that its script unpacks: a page with thousands of responses opens as fast as an empty one. */
export function createBlocks(): Blocks {
  const packed: Html[] = [];
  return {
    add: (id, content) => {
      const bytes = gzipSync(content.text, { level: 9 });
      packed.push(
        html`<script type="text/plain" id="block-${id}">
          ${bytes.toString('base64')}
        </script>`,
      );
    },
    all: () => html`${packed}`,
  };
}
