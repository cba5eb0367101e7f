import { readFileSync } from 'node:fs';
import { crc32c } from '../../../src/train/run/crc32c.ts';

/** An event of a TensorBoard file, as far as finer1 writes them. */
export interface ReadEvent {
  wallTime?: number;
  step?: number;
  version?: string;
  sessionStatus?: number;
  scalars?: Record<string, number>;
}

/** Reads a file of events, with every checksum. */
export function readEvents(file: string): ReadEvent[] {
  const bytes = readFileSync(file);
  const events: ReadEvent[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    assertChecksum(bytes.subarray(at, at + 8), bytes.readUInt32LE(at + 8));
    const content = bytes.subarray(at + 12, at + 12 + length);
    assertChecksum(content, bytes.readUInt32LE(at + 12 + length));
    events.push(readEvent(content));
    at += 16 + length;
  }
  return events;
}

/* Unmasks what is stored, rather than masking what is computed. */
function assertChecksum(content: Buffer, stored: number): void {
  const rotated = (stored - 0xa282ead8) >>> 0;
  const unmasked = ((rotated >>> 17) | (rotated << 15)) >>> 0;
  if (unmasked !== crc32c(content)) throw new Error(`The checksum ${unmasked} is not ${crc32c(content)}.`);
}

type Value = number | Buffer;

function* fieldsOf(bytes: Buffer): Generator<[field: number, value: Value]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++] as number;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const [field, kind] = [tag >> 3, tag & 7];
    if (kind === 0) yield [field, varint()];
    else if (kind === 1) yield [field, bytes.readDoubleLE((at += 8) - 8)];
    else if (kind === 5) yield [field, bytes.readFloatLE((at += 4) - 4)];
    else if (kind === 2) {
      const length = varint();
      yield [field, bytes.subarray(at, (at += length))];
    } else throw new Error(`There is no kind ${kind}.`);
  }
}

function readEvent(bytes: Buffer): ReadEvent {
  const event: ReadEvent = {};
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === 1) event.wallTime = value as number;
    else if (field === 2) event.step = value as number;
    else if (field === 3) event.version = String(value);
    else if (field === 5) event.scalars = readSummary(value as Buffer);
    else if (field === 7) event.sessionStatus = [...fieldsOf(value as Buffer)][0]?.[1] as number;
    else throw new Error(`There is no field ${field}.`);
  }
  return event;
}

function readSummary(bytes: Buffer): Record<string, number> {
  const values = [...fieldsOf(bytes)].map(([, value]) => Object.fromEntries(fieldsOf(value as Buffer)));
  return Object.fromEntries(values.map((fields) => [String(fields[1]), fields[2] as number]));
}
