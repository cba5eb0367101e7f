import { closeSync, fsyncSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { orCannotWrite } from '../../model/safetensors.ts';
import { maskedCrc32c } from './crc32c.ts';

/** A file of scalars for TensorBoard. */
export interface EventFile extends Disposable {
  /** Appends the values of a step, by their names. */
  append(step: number, values: Readonly<Record<string, number>>): void;
  sync(): void;
}

/*
 * A file is a row of TFRecords (tensorflow/core/lib/io/record_writer.h), each an Event (tensorflow/core/util/event.proto):
 * Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7 }
 * Summary { repeated Value value = 1 }, Value { string tag = 1; float simple_value = 2 }
 * SessionLog { SessionStatus status = 1 }
 */
const VERSION = 'brain.Event:2';
const SESSION_START = 1;
const LENGTH_BYTES = 8;
const CRC_BYTES = 4;

/**
 * Starts a new file beside those that a run has.
 *
 * @param firstStep TensorBoard forgets what earlier files of the folder hold from this step on
 * @throws CheckpointError if it cannot be written
 */
export function createEventFile(folder: string, firstStep: number): EventFile {
  const seconds = String(Math.floor(Date.now() / 1000)).padStart(10, '0');
  const earlier = readdirSync(folder).filter((name) => name.startsWith('events.out.tfevents.')).length;
  const file = join(folder, `events.out.tfevents.${seconds}.finer1.${earlier}`);
  const handle = orCannotWrite(file, () => openSync(file, 'wx'));
  const write = (step: number, ...fields: Buffer[]): void => {
    const record = recordOf(Buffer.concat([double(1, Date.now() / 1000), varint(2, step), ...fields]));
    orCannotWrite(file, () => writeSync(handle, record));
  };
  write(0, bytes(3, Buffer.from(VERSION)));
  write(firstStep, bytes(7, varint(1, SESSION_START)));
  return {
    append: (step, values) => {
      const all = Object.entries(values).map(([tag, value]) =>
        bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value)])),
      );
      write(step, bytes(5, Buffer.concat(all)));
    },
    sync: () => {
      orCannotWrite(file, () => {
        fsyncSync(handle);
      });
    },
    [Symbol.dispose]: () => {
      closeSync(handle);
    },
  };
}

/* Length, its checksum, content, its checksum; little-endian. */
function recordOf(content: Buffer): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(content.length));
  return Buffer.concat([length, checksum(length), content, checksum(content)]);
}

function checksum(content: Buffer): Buffer {
  const crc = Buffer.alloc(CRC_BYTES);
  crc.writeUInt32LE(maskedCrc32c(content));
  return crc;
}

/* Fields of a protocol buffer: the number of the field and the kind of value, then the value. */
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5] as const;
const tagOf = (field: number, kind: number): Buffer => Buffer.from([(field << 3) | kind]);

function varint(field: number, value: number): Buffer {
  return Buffer.concat([tagOf(field, VARINT), base128(value)]);
}

function bytes(field: number, content: Buffer): Buffer {
  return Buffer.concat([tagOf(field, BYTES), base128(content.length), content]);
}

function double(field: number, value: number): Buffer {
  const content = Buffer.alloc(8);
  content.writeDoubleLE(value);
  return Buffer.concat([tagOf(field, FIXED64), content]);
}

function float(field: number, value: number): Buffer {
  const content = Buffer.alloc(4);
  content.writeFloatLE(value);
  return Buffer.concat([tagOf(field, FIXED32), content]);
}

function base128(value: number): Buffer {
  const digits: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) digits.push((rest % 128) | 128);
  return Buffer.from([...digits, rest]);
}
