/*
 * Makes the two sets of emoji, a folder per class each: `npm run experiment:emoji -- [--out DIR] [--size PIXELS] [--seed N]`.
 * The same options and packages give the same files.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { ConfigError } from '../../src/common/errors.ts';
import {
  ALL_ARTISTS,
  type Artist,
  ARTISTS,
  type Drawings,
  listUnicode,
  openArtist,
  render,
} from './artists.ts';
import { conversations, type Domain, DOMAINS, type Kind, pictureOf, splitKinds } from './plan.ts';
import { type SheetRows, writeSheet } from './sheet.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'data/emoji' },
    size: { type: 'string', default: '224' },
    seed: { type: 'string', default: '0' },
  },
});
const [size, seed] = [Number(values.size), Number(values.seed)];

const artists = new Map<string, Drawings>(ALL_ARTISTS.map((artist) => [artist, openArtist(artist)]));
const svgOf = (artist: string, name: string): string => (artists.get(artist) as Drawings).svg(name);
const unicode = listUnicode();

/* What all training artists and a test artist drew. Unicode lists some twice, with and without a selector. */
function listKinds(domain: Domain): Kind[] {
  const drawn = (by: readonly Artist[], name: string): Artist[] =>
    by.filter((artist) => artists.get(artist)?.has(name) === true);
  const names = unicode
    .filter(({ subgroup }) => DOMAINS[domain].subgroups.test(subgroup))
    .map(({ name }) => name.toLowerCase());
  return [...new Set(names)]
    .map((name) => ({ name, train: drawn(ARTISTS.train, name), test: drawn(ARTISTS.test, name) }))
    .filter(({ train, test }) => train.length === ARTISTS.train.length && test.length > 0);
}

async function makeDomain(domain: Domain): Promise<SheetRows> {
  const { seen, unseen } = splitKinds(listKinds(domain), seed);
  const folder = join(values.out, domain);
  const pictures = [
    ...seen.flatMap(({ name, train }) => train.map((artist) => ({ split: 'train', name, artist }) as const)),
    ...[...seen, ...unseen].flatMap(({ name, test }) =>
      test.map((artist) => ({ split: 'test', name, artist }) as const),
    ),
  ];
  for (const { split, name, artist } of pictures) {
    const file = join(folder, pictureOf(split, name, artist));
    mkdirSync(dirname(file), { recursive: true });
    await render(svgOf(artist, name), size).png().toFile(file);
  }
  const list = (kinds: readonly Kind[]): string => kinds.map(({ name }) => `${name}\n`).join('');
  writeFileSync(join(folder, 'seen.txt'), list(seen));
  writeFileSync(join(folder, 'unseen.txt'), list(unseen));
  const rows = conversations(seen, DOMAINS[domain].question, seed);
  writeFileSync(join(folder, 'sft.json'), `${JSON.stringify(rows, undefined, 2)}\n`);
  console.log(
    `${folder}: ${seen.length} kinds with ${ARTISTS.train.length} training pictures each, ${unseen.length} without; ` +
      `${pictures.length} pictures, ${rows.length} of them for training.`,
  );
  return { seen, unseen };
}

if (existsSync(values.out) && readdirSync(values.out).length > 0) {
  throw new ConfigError(`The folder ${values.out} is not empty. Delete it, or name another one by --out.`);
}
const made: SheetRows[] = [];
for (const domain of Object.keys(DOMAINS) as Domain[]) made.push(await makeDomain(domain));
await writeSheet(join(values.out, 'sheet.png'), made, svgOf);
