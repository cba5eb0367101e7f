import sharp from 'sharp';
import { between, pick, type Random } from '../../common/random.ts';
import type { Pixels } from '../image/resize.ts';
import type { Bird, Family } from './birds.ts';

/* The drawing's own units on a side. */
const CANVAS = 100;
/* Noise at a variation of 1: its standard deviation in steps of 255. */
const NOISE = 7;
/* That of the sum of two uniform bytes. */
const TWO_BYTES_DEVIATION = 104.5;

type Colour = readonly [number, number, number];

const CAPS: Record<Bird['cap'], Colour> = {
  red: [206, 26, 38],
  orange: [246, 138, 24],
  blue: [36, 84, 220],
  black: [22, 22, 26],
};
const BREASTS: Record<Bird['breast'], Colour> = {
  gold: [246, 206, 44],
  green: [46, 160, 70],
  violet: [148, 70, 190],
  white: [246, 246, 242],
};
const TAILS: Record<Bird['tail'], string> = {
  short: 'M-15-6L-27-8L-29-1L-27 6L-15 6Z',
  long: 'M-15-6L-47-7L-49 0L-47 7L-15 6Z',
  forked: 'M-15-7L-45-23L-48-15L-28 0L-48 15L-45 23L-15 7Z',
};
const PLUMAGES: readonly Colour[] = [
  [138, 104, 72],
  [122, 112, 104],
  [150, 118, 92],
  [110, 92, 80],
];

/**
 * Draws a bird as no other picture shows it: turned, mirrored, scaled, moved, before another ground, in another light,
 * half of the time behind a twig.
 *
 * @param random decides all but the bird
 * @param size pixels on a side
 */
export async function drawBird(
  bird: Bird,
  random: Random,
  { variation }: Pick<Family, 'variation'>,
  size: number,
): Promise<Pixels> {
  const svg = toSvg(bird, random, variation, size);
  const { data, info } = await sharp(Buffer.from(svg))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  light(data, random, variation);
  return { width: info.width, height: info.height, data };
}

function toSvg(bird: Bird, random: Random, variation: number, size: number): string {
  const about = (value: number, spread: number): string =>
    (value + variation * between(random, -spread, spread)).toFixed(2);
  const paint = (colour: Colour): string =>
    toHex(colour.map((c) => c + variation * between(random, -16, 16)));
  const ground = (): string => toHex([0, 1, 2].map(() => between(random, 95, 215)));
  const turn = about(0, 22);
  const mirror = random.uniform() < 0.5 ? -1 : 1;
  const scale = about(0.94, 0.12);
  const move = `translate(${about(50, 7)} ${about(50, 8)})`;
  const gradient =
    `<linearGradient id="g" gradientTransform="rotate(${between(random, 0, 90).toFixed(0)})">` +
    `<stop stop-color="${ground()}"/><stop offset="1" stop-color="${ground()}"/></linearGradient>`;
  const twig = random.uniform() < 0.5 ? drawTwig(random) : '';
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}" viewBox="0 0 ${CANVAS} ${CANVAS}">` +
    `${gradient}<rect width="${CANVAS}" height="${CANVAS}" fill="url(#g)"/>` +
    `<g transform="${move} rotate(${turn}) scale(${mirror} 1) scale(${scale}) translate(6 2)">` +
    `${drawParts(bird, paint, pick(random, PLUMAGES))}</g>${twig}</svg>`
  );
}

/* The bird looks to the right, its body's middle at (0, 0). */
function drawParts(bird: Bird, paint: (colour: Colour) => string, plumage: Colour): string {
  const [r, g, b] = plumage;
  const feathers = paint(plumage);
  const dark = paint([0.5 * r, 0.5 * g, 0.5 * b]);
  const cap = paint(CAPS[bird.cap]);
  const crest =
    bird.crest === 'crested' ? `<path d="M12-22L6-41L15-33L18-45L23-33L31-39L29-20Z" fill="${cap}"/>` : '';
  const bars =
    bird.wing === 'striped'
      ? `<path d="M-15-7L-12 6M-7-9L-4 7M1-8L4 5" stroke="${paint([245, 240, 225])}" stroke-width="3.4"/>`
      : '';
  return (
    `<path d="${TAILS[bird.tail]}" fill="${dark}"/>` +
    `<path d="M-1 14V25M7 13V24" stroke="${dark}" stroke-width="2"/>` +
    `<ellipse rx="23" ry="16" fill="${feathers}"/>` +
    `<path d="M-2 15.6C8 17 22 12 23 1C24-6 21-9 17-8C13 2 8 8-2 9Z" fill="${paint(BREASTS[bird.breast])}"/>` +
    `<path d="M31-17L42-13L31-10Z" fill="${paint([206, 160, 60])}"/>${crest}` +
    `<circle cx="21" cy="-15" r="12" fill="${feathers}"/>` +
    `<path d="M8.5-14A12.5 12.5 0 0 1 33.5-16.5Q21-13 8.5-14Z" fill="${cap}"/>` +
    `<circle cx="26" cy="-12" r="2.1" fill="#111"/>` +
    `<ellipse cx="-6" cy="-2" rx="15" ry="9.5" transform="rotate(8 -6 -2)" fill="${dark}"/>${bars}`
  );
}

function drawTwig(random: Random): string {
  const [left, right] = [between(random, 10, 90), between(random, 10, 90)];
  const bend = (left + right) / 2 + between(random, -15, 15);
  const wood = toHex([between(random, 60, 110), between(random, 45, 75), between(random, 25, 45)]);
  return (
    `<path d="M-2 ${left.toFixed(1)}Q50 ${bend.toFixed(1)} 102 ${right.toFixed(1)}" fill="none" ` +
    `stroke="${wood}" stroke-width="${between(random, 2.5, 4.5).toFixed(1)}"/>`
  );
}

/* Brightness, a tint and noise: 16 random bits for each value. */
function light(data: Uint8Array, random: Random, variation: number): void {
  const brightness = 1 + variation * between(random, -0.18, 0.18);
  const gains = [0, 1, 2].map(() => brightness * (1 + variation * between(random, -0.06, 0.06)));
  const strength = (variation * NOISE) / TWO_BYTES_DEVIATION;
  const lit = new Uint8ClampedArray(data.buffer, data.byteOffset, data.length);
  let bits = 0;
  for (let channel = 0; channel < 3; channel++) {
    const gain = gains[channel] ?? 1;
    for (let i = channel; i < lit.length; i += 3) {
      bits = (i - channel) % 2 === 0 ? random.bits() : bits >>> 16;
      lit[i] = (lit[i] ?? 0) * gain + strength * ((bits & 255) + ((bits >>> 8) & 255) - 255);
    }
  }
}

const toByte = (value: number): number => Math.max(0, Math.min(255, Math.round(value)));
const toHex = (colour: readonly number[]): string =>
  `#${colour.map((c) => toByte(c).toString(16).padStart(2, '0')).join('')}`;
