import { createHash } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ZipFile } from 'yazl';
import type { Wheel } from '../../src/runtime/tensorflow/install/wheels.ts';

/** Makes a wheel in `folder` with the given files, by path. */
export async function makeWheel(
  folder: string,
  name: string,
  files: Record<string, Buffer | string>,
): Promise<Wheel> {
  const file = `${name}-1.0-cp312-cp312-manylinux_2_27_x86_64.whl`;
  const zip = new ZipFile();
  let unpackedBytes = 0;
  for (const [path, content] of Object.entries(files)) {
    const mode = path.includes('/bin/') ? 0o100755 : 0o100644;
    zip.addBuffer(Buffer.from(content), path, { mode, compress: content.length < 2 ** 20 });
    unpackedBytes += content.length;
  }
  zip.end();
  mkdirSync(folder, { recursive: true });
  await pipeline(zip.outputStream, createWriteStream(join(folder, file)));
  const bytes = readFileSync(join(folder, file));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { file, sha256, downloadBytes: bytes.length, unpackedBytes };
}

/*
 * What a fake pip does when it is asked to download: `wheels` is the folder of the index, `dest` where the file has
 * to go, `file` its name. Each notes its process number in `wheels`.
 */
const DOWNLOADS = {
  deliver: 'copyFileSync(join(wheels, file), join(dest, file));',
  'deliver slowly': `
    const bytes = readFileSync(join(wheels, file));
    for (let at = 0; at < bytes.length; at += bytes.length >> 3) {
      appendFileSync(join(dest, file), bytes.subarray(at, at + (bytes.length >> 3)));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 40);
    }`,
  'deliver damaged': `
    const bytes = readFileSync(join(wheels, file));
    bytes[100] ^= 1;
    writeFileSync(join(dest, file), bytes);`,
  hang: `
    appendFileSync(join(dest, 'begun'), 'something');
    setInterval(() => undefined, 1000);`,
  'deliver nothing': '',
};

/** How pip ends where it does not deliver; what it says is what real ones say. */
const FAILURES = {
  'no network': `WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('[Errno 111] Connection refused')': /simple/x/
ERROR: No matching distribution found for x==1.0`,
  'not offered': `ERROR: Could not find a version that satisfies the requirement x==1.0 (from versions: 0.9)
ERROR: No matching distribution found for x==1.0`,
  'full disk': 'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device',
};

export type PipBehaviour = keyof typeof DOWNLOADS | keyof typeof FAILURES;

/**
 * Makes a folder for PATH that holds nothing but a fake pip, as `python3 -m pip`.
 * @param wheels folder of the wheels that it delivers
 */
export function makeFakePip(folder: string, wheels: string, behaviour: PipBehaviour): string {
  const failure = (FAILURES as Partial<Record<PipBehaviour, string>>)[behaviour];
  const download =
    failure === undefined
      ? DOWNLOADS[behaviour as keyof typeof DOWNLOADS]
      : `console.error(${JSON.stringify(failure)}); process.exit(1);`;
  const script = `#!${process.execPath}
const { appendFileSync, copyFileSync, readFileSync, readdirSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
if (process.argv.includes('--version')) process.exit(0);
const wheels = ${JSON.stringify(wheels)};
const dest = process.argv.find((arg) => arg.startsWith('--dest=')).slice('--dest='.length);
const [name, version] = process.argv.at(-1).split('==');
const file = readdirSync(wheels).find((found) => found.startsWith(name.replaceAll('-', '_') + '-' + version));
appendFileSync(join(wheels, 'pids'), process.pid + '\\n');
${download}
`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'python3'), script, { mode: 0o755 });
  return folder;
}

/** The process numbers of the fake pips that downloaded from `wheels`. */
export function fakePipPids(wheels: string): number[] {
  const notes = join(wheels, 'pids');
  return existsSync(notes) ? readFileSync(notes, 'utf8').trim().split('\n').map(Number) : [];
}

/** Whether a process runs; one that has ended and that nobody has asked about yet does not. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
