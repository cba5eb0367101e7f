import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { crc32c, maskedCrc32c } from '../../../src/train/run/crc32c.ts';
import { createEventFile } from '../../../src/train/run/eventFile.ts';
import { readEvents } from './events.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finer1-events-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

describe('crc32c', () => {
  /* RFC 3720, B.4, and the check value of the catalogue of CRCs. */
  it.each([
    [new Uint8Array(32), 0x8a9136aa],
    [new Uint8Array(32).fill(255), 0x62a8ab43],
    [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    [Buffer.from('123456789'), 0xe3069283],
  ])('is that of the standard', (bytes, crc) => {
    expect(crc32c(bytes)).toBe(crc);
  });

  it('is masked as in the first record of every file that TensorFlow writes', () => {
    // The length of an Event with a time and "brain.Event:2" is 24.
    const length = Buffer.from([24, 0, 0, 0, 0, 0, 0, 0]);
    expect(maskedCrc32c(length)).toBe(Buffer.from([0xa3, 0x7f, 0x4b, 0x22]).readUInt32LE());
  });
});

describe('createEventFile', () => {
  it('writes records that read back, with right checksums', () => {
    const before = Date.now() / 1000;
    {
      using file = createEventFile(folder, 5);
      file.append(5, { loss: 1.5, 'validation/accuracy': 0.25 });
      file.append(300, { loss: NaN });
      file.append(2 ** 40, { [`long ${'x'.repeat(300)}`]: -2 });
    }
    const [name = ''] = readdirSync(folder);
    expect(name).toMatch(/^events\.out\.tfevents\.\d{10}\.finer1\.0$/);
    const events = readEvents(join(folder, name));
    expect(events.map((event) => ({ ...event, wallTime: undefined }))).toEqual([
      { step: 0, version: 'brain.Event:2' },
      { step: 5, sessionStatus: 1 },
      { step: 5, scalars: { loss: 1.5, 'validation/accuracy': 0.25 } },
      { step: 300, scalars: { loss: NaN } },
      { step: 2 ** 40, scalars: { [`long ${'x'.repeat(300)}`]: -2 } },
    ]);
    for (const { wallTime = 0 } of events) {
      expect(wallTime).toBeGreaterThanOrEqual(before);
      expect(wallTime).toBeLessThanOrEqual(Date.now() / 1000);
    }
  });

  it('never writes into a file that is there', () => {
    createEventFile(folder, 1)[Symbol.dispose]();
    createEventFile(folder, 1)[Symbol.dispose]();
    expect(readdirSync(folder)).toHaveLength(2);
  });
});
