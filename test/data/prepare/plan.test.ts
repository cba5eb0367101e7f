import { describe, expect, it } from 'vitest';
import {
  DEFAULT_OPTIONS,
  drawShots,
  planRows,
  type PrepareOptions,
  type SeenPicture,
} from '../../../src/data/prepare/plan.ts';
import type { ClassRow } from '../../../src/data/rows.ts';

const OPTIONS: PrepareOptions = { ...DEFAULT_OPTIONS, question: 'which bird?', options: 3 };

/* Classes on a circle: the nearer two angles, the more alike. */
const ANGLES = { wren: 0, robin: 0.4, finch: 1.5, owl: 3.5 };
type Name = keyof typeof ANGLES;

function picture(label: Name, number: number, split: ClassRow['split'], seen = true): SeenPicture {
  const angle = ANGLES[label] + 0.05 * number;
  const image = `${split}/${label}/${number}.png`;
  return {
    row: { origin: { file: split, row: number }, image, label, split, seen },
    embedding: Float32Array.from([5 + Math.cos(angle), 5 + Math.sin(angle)]),
  };
}

const shots = (['wren', 'robin', 'finch'] as const).flatMap((name) =>
  [1, 2, 3].map((number) => picture(name, number, 'train')),
);
const tests = [picture('wren', 9, 'test'), picture('owl', 9, 'test', false)];

describe('drawShots', () => {
  const rows = [...shots, ...tests].map(({ row }) => row);

  it('takes as many pictures of each seen class as asked for, others by another seed', () => {
    const drawn = drawShots(rows, { shots: 2, seed: 1 });
    expect(drawn).toHaveLength(6);
    expect(new Set(drawn.map(({ image }) => image)).size).toBe(6);
    expect(drawShots(rows, { shots: 2, seed: 1 })).toEqual(drawn);
    const others = [2, 3, 4].map((seed) => drawShots(rows, { shots: 2, seed }));
    expect(others.some((other) => JSON.stringify(other) !== JSON.stringify(drawn))).toBe(true);
  });

  it('leaves out training pictures of classes that are listed as unseen', () => {
    const hidden = rows.map((row) => ({ ...row, seen: row.seen && row.label !== 'finch' }));
    expect(drawShots(hidden, { shots: 4, seed: 1 }).map(({ label }) => label)).not.toContain('finch');
  });
});

describe('planRows', () => {
  const planned = planRows(shots, tests, OPTIONS);

  it('makes each training picture an anchor, with another of its class', () => {
    const anchors = planned.triplets.map(({ anchor }) => anchor).sort();
    expect(anchors).toEqual(shots.map(({ row }) => row.image).sort());
    for (const { anchor, positive, answer } of planned.triplets) {
      expect(positive).toContain(`train/${answer}/`);
      expect(positive).not.toBe(anchor);
    }
  });

  it('takes the negative of the most similar other seen class, the most similar of its pictures', () => {
    const negativeOf = (anchor: string): string | undefined =>
      planned.triplets.find((triplet) => triplet.anchor === anchor)?.negative;
    expect(negativeOf('train/wren/1.png')).toBe('train/robin/1.png');
    expect(negativeOf('train/robin/3.png')).toBe('train/wren/3.png');
    expect(negativeOf('train/finch/2.png')).toBe('train/robin/3.png');
  });

  it('lists the right name among those that look most like it, and asks for it in words', () => {
    const first = planned.triplets.find(({ anchor }) => anchor === 'train/wren/1.png');
    expect([...(first?.options ?? [])].sort()).toEqual(['owl', 'robin', 'wren']);
    expect(first?.problem).toBe(`which bird? options: ${first?.options.join(', ')}.`);
  });

  it('asks about test pictures of seen and unseen classes apart', () => {
    expect(planned.tests.seen.map(({ image }) => image)).toEqual(['test/wren/9.png']);
    expect(planned.tests.unseen).toMatchObject([{ image: 'test/owl/9.png', groundTruth: 'owl' }]);
    expect(planned.tests.unseen[0]?.options).toContain('owl');
    expect(planned.classes).toEqual(['finch', 'owl', 'robin', 'wren']);
  });

  it('does not put the right name at the same place each time', () => {
    const many = Array.from({ length: 30 }, (_, i) => picture('wren', i, 'test'));
    const places = planRows(shots, many, OPTIONS).tests.seen.map(({ options }) => options.indexOf('wren'));
    expect(new Set(places).size).toBe(3);
  });

  it('names classes that have no positive', () => {
    const single = planRows([...shots, picture('owl', 1, 'train')], tests, OPTIONS);
    expect(single.withoutPositive).toEqual(['owl']);
    expect(single.triplets.map(({ answer }) => answer)).not.toContain('owl');
  });
});
