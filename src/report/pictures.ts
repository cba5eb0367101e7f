import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { thumbnail } from '../data/image/thumbnail.ts';
import { html, type Html } from './html.ts';

/** A picture, as a run's files name it. */
export interface PictureRef {
  path: string | undefined;
  /** of its content when it was used; undefined where that was not written down */
  sha256: string | undefined;
}

/** The pictures of a report: each once, however often it is shown. */
export interface Pictures {
  /** A small copy with a caption, or what became of it. */
  show(ref: PictureRef | undefined, caption: string): Html;
  /** the copies, as data URIs */
  uris: string[];
  /** files that are gone, or are no pictures (any more) */
  missing: number;
  /** files whose content is not what was used */
  changed: number;
  /** pictures beyond the limit */
  leftOut: number;
}

const PIXELS = 96;
/** More would make the report slow to open: a copy is some kilobytes. */
const MAX_PICTURES = 2000;
const AT_ONCE = 16;

type Loaded = { uri: number; isChanged: boolean } | { problem: string };

/** Reads the pictures that a report shows. One that is missing is no error: the report says so in its place. */
export async function loadPictures(refs: Iterable<PictureRef>): Promise<Pictures> {
  const unique = [...new Map([...refs].map((ref) => [keyOf(ref), ref])).values()];
  const some = unique.slice(0, MAX_PICTURES);
  const loaded = new Map<string, Loaded>();
  const uris: string[] = [];
  const numbers = new Map<string, number>();
  for (let from = 0; from < some.length; from += AT_ONCE) {
    const chunk = some.slice(from, from + AT_ONCE);
    const copies = await Promise.all(chunk.map(({ path }) => copyOf(path)));
    copies.forEach((copy, i) => {
      const ref = chunk[i] as PictureRef;
      if (typeof copy === 'string') {
        loaded.set(keyOf(ref), { problem: copy });
        return;
      }
      const uri = numbers.get(copy.sha256) ?? uris.push(copy.uri) - 1;
      numbers.set(copy.sha256, uri);
      loaded.set(keyOf(ref), { uri, isChanged: ref.sha256 !== undefined && ref.sha256 !== copy.sha256 });
    });
  }
  const all = [...loaded.values()];
  return {
    uris,
    missing: all.filter((one) => 'problem' in one).length,
    changed: all.filter((one) => 'isChanged' in one && one.isChanged).length,
    leftOut: unique.length - some.length,
    show: (ref, caption) => show(ref, ref && loaded.get(keyOf(ref)), caption),
  };
}

/* A small copy of a file's picture; or why there is none. */
async function copyOf(path: string | undefined): Promise<{ sha256: string; uri: string } | string> {
  if (path === undefined) return 'stood in the data, not in a file';
  try {
    const content = readFileSync(path);
    const copy = Buffer.from(await thumbnail(content, PIXELS)).toString('base64');
    const sha256 = createHash('sha256').update(content).digest('hex');
    return { sha256, uri: `data:image/webp;base64,${copy}` };
  } catch {
    return 'missing';
  }
}

const keyOf = ({ path = '', sha256 = '' }: PictureRef): string => `${sha256}\0${path}`;

function show(ref: PictureRef | undefined, loaded: Loaded | undefined, caption: string): Html {
  const name = ref?.path === undefined ? '' : basename(ref.path);
  const problem =
    ref === undefined
      ? 'not known'
      : loaded === undefined
        ? 'left out'
        : 'problem' in loaded
          ? loaded.problem
          : undefined;
  const picture =
    loaded !== undefined && 'uri' in loaded
      ? html`<img data-picture="${loaded.uri}" alt="${caption} ${name}" />`
      : html`<span class="gone">${problem}</span>`;
  const changed =
    loaded !== undefined && 'uri' in loaded && loaded.isChanged ? ' (the file has changed since)' : '';
  return html`<figure class="picture" title="${ref?.path}">
    ${picture}
    <figcaption>${caption}${changed}</figcaption>
  </figure>`;
}
