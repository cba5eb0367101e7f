import sharp from 'sharp';
import { ALL_ARTISTS, render } from './artists.ts';
import type { Kind } from './plan.ts';

/* Sizes in pixels. */
const [CELL, LABEL] = [56, 190];
const COLOURS = 64;
/* Kinds of a domain that are shown, and by how many test artists they are at least. */
const SHOWN = { seen: 5, unseen: 2 } as const;
const MIN_ARTISTS = 3;

/** The kinds of a domain. */
export interface SheetRows {
  seen: readonly Kind[];
  unseen: readonly Kind[];
}

/**
 * Draws a sheet to look at: some kinds of each domain, a row each; training artists on the left; the last two rows of a domain
 * are unseen.
 *
 * @param svgOf an artist's drawing of a name
 */
export async function writeSheet(
  file: string,
  domains: readonly SheetRows[],
  svgOf: (artist: string, name: string) => string,
): Promise<void> {
  const rows = domains.flatMap((domain) =>
    (['seen', 'unseen'] as const).flatMap((split) =>
      spread(
        domain[split].filter(({ test }) => test.length >= MIN_ARTISTS),
        SHOWN[split],
      ),
    ),
  );
  const text = (x: number, y: number, label: string, size: number): string =>
    `<text x="${x}" y="${y}" font-family="sans-serif" font-size="${size}">${label}</text>`;
  const labels = [
    ...ALL_ARTISTS.map((artist, i) => text(LABEL + i * CELL, CELL / 2 + (i % 2) * 12, artist, 9)),
    ...rows.map(({ name }, i) => text(4, (i + 1.6) * CELL, name, 12)),
  ];
  const [width, height] = [LABEL + ALL_ARTISTS.length * CELL, (rows.length + 1) * CELL];
  const page = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${labels.join('')}</svg>`;
  const pictures = await Promise.all(
    rows.flatMap(({ name, train, test }, row) =>
      [...train, ...test].map(async (artist) => ({
        input: await render(svgOf(artist, name), CELL).png().toBuffer(),
        left: LABEL + ALL_ARTISTS.findIndex((one) => one === artist) * CELL,
        top: (row + 1) * CELL,
      })),
    ),
  );
  await sharp(Buffer.from(page))
    .flatten({ background: 'white' })
    .composite(pictures)
    .png({ palette: true, colours: COLOURS })
    .toFile(file);
}

/* So many of them, as far apart as can be. */
const spread = (kinds: readonly Kind[], count: number): Kind[] =>
  kinds.filter(
    (_, i) => Math.floor((i * count) / kinds.length) !== Math.floor(((i - 1) * count) / kinds.length),
  );
