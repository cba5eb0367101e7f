import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp, { type Sharp } from 'sharp';
import { ConfigError } from '../../src/common/errors.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));

/** Who drew: those of `train` and those of `test`. A house that drew twice (Noto, EmojiOne) is on one side with both. */
export const ARTISTS = {
  train: ['noto', 'noto-v1', 'openmoji', 'twemoji'],
  test: ['emojione', 'emojione-v1', 'fluent-emoji-flat', 'fxemoji'],
} as const;
export const ALL_ARTISTS = [...ARTISTS.train, ...ARTISTS.test];
export type Artist = (typeof ALL_ARTISTS)[number];

/** A picture's place in a set of icons, in Iconify's format. */
interface Icon {
  body: string;
  width?: number;
  height?: number;
}
interface IconSet extends Required<Omit<Icon, 'body'>> {
  icons: Record<string, Icon>;
  aliases?: Record<string, { parent: string }>;
}

/** An emoji as Unicode lists it. */
export interface UnicodeEmoji {
  name: string;
  /** e.g. `face-smiling`, `animal-bird` */
  subgroup: string;
}

/** All of one artist's drawings. */
export interface Drawings {
  /** Whether the artist drew what Unicode calls so. */
  has(name: string): boolean;
  /** The drawing as SVG. */
  svg(name: string): string;
}

function read(name: string): unknown {
  const file = join(FOLDER, 'node_modules', name);
  if (!existsSync(file)) {
    throw new ConfigError(`${file} is not there. Install it by: npm ci --prefix experiments/emoji`);
  }
  return JSON.parse(readFileSync(file, 'utf8')) as unknown;
}

/* FxEmoji writes names without any sign between words. */
const keyOf = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/**
 * Opens an artist's drawings.
 * @throws ConfigError if the packages of this folder are not installed
 */
export function openArtist(artist: Artist): Drawings {
  const { icons, aliases = {}, ...size } = read(`@iconify-json/${artist}/icons.json`) as IconSet;
  const found = new Map(
    [...Object.keys(icons), ...Object.keys(aliases)].map((name) => [keyOf(name), name] as const),
  );
  const iconOf = (name: string): Icon => icons[name] ?? iconOf((aliases[name] as { parent: string }).parent);
  return {
    has: (name) => found.has(keyOf(name)),
    svg: (name) => {
      const { body, width = size.width, height = size.height } = iconOf(found.get(keyOf(name)) as string);
      return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 ${width} ${height}">${body}</svg>`;
    },
  };
}

/** What Unicode lists. */
export const listUnicode = (): UnicodeEmoji[] => read('emoji.json/emoji.json') as UnicodeEmoji[];

/** A drawing on white, as a square with `size` pixels on a side. */
export function render(svg: string, size: number): Sharp {
  const inner = Math.round(size * 0.9);
  const [before, after] = [Math.floor((size - inner) / 2), Math.ceil((size - inner) / 2)];
  const white = { background: 'white' };
  return sharp(Buffer.from(svg), { density: 300 })
    .resize(inner, inner, { fit: 'contain', ...white })
    .extend({ top: before, left: before, bottom: after, right: after, ...white })
    .flatten(white);
}
