import { readFileSync } from 'node:fs';
import { loadModel, type Model } from '../api/loadModel.ts';
import { type ClassifyRecord, describeVersions, type PlacedRecord, readRecords } from '../classify/record.ts';
import {
  compareInputs,
  compareVersions,
  describeDifference,
  type Difference,
  replay,
} from '../classify/verify.ts';
import { ConfigError, DataError, messageOf } from '../common/errors.ts';
import { log } from '../common/log.ts';
import { resolveModel } from '../data/hub.ts';
import { hashModel, type ModelHashes } from '../train/run/provenance.ts';
import { abortOnSignal } from './interrupt.ts';
import type { VerifyArguments } from './verify.ts';

/** Checks the records, prints what differs, and sets the exit status to 1 where something does. */
export async function runVerify(options: VerifyArguments): Promise<void> {
  const records = readRecords(options.record);
  if (options.image !== undefined && records.length > 1) {
    throw new ConfigError(
      `${options.record} holds ${records.length} records, but --image names one picture. Give a file of one record.`,
    );
  }
  const confirmed = await abortOnSignal(async (signal) => {
    let count = 0;
    for (const some of byModel(records)) count += await verifyAll(some, options, signal);
    return count;
  });
  if (records.length > 1) process.stdout.write(`${confirmed} of ${records.length} confirmed\n`);
  if (confirmed < records.length) process.exitCode = 1;
}

/* Those of one model and backend together: it is loaded once. */
function byModel(records: readonly PlacedRecord[]): PlacedRecord[][] {
  const keyOf = ({ record }: PlacedRecord): string => `${record.versions.backend} ${record.model.name}`;
  return [...new Set(records.map(keyOf))].map((key) => records.filter((one) => keyOf(one) === key));
}

/* Checks the records of one model; how many are confirmed. */
async function verifyAll(
  records: readonly PlacedRecord[],
  { model: moved, image: movedImage }: VerifyArguments,
  signal: AbortSignal,
): Promise<number> {
  const [first] = records as [PlacedRecord];
  const folder = await resolveModel(moved ?? first.record.model.name, { signal });
  const hashes = await hashModel(folder);
  const { backend } = first.record.versions;
  // Loaded only where a record's inputs are what they were.
  let loaded: Promise<Model> | undefined;
  const load = (): Promise<Model> => (loaded ??= loadModel(folder, { backend }));
  let confirmed = 0;
  try {
    for (const { place, record } of records) {
      const image = readImage(movedImage ?? record.image.path, place);
      const differences = await verifyOne(record, { hashes, image, folder, load }, signal);
      if (differences.length === 0) confirmed++;
      const lines = differences.map((difference) => `  ${describeDifference(difference)}\n`);
      const outcome = differences.length === 0 ? 'confirmed' : 'NOT confirmed';
      process.stdout.write(`${place} (${record.image.path}): ${outcome}\n${lines.join('')}`);
    }
  } finally {
    (await loaded)?.dispose();
  }
  return confirmed;
}

interface Now {
  hashes: ModelHashes;
  image: Uint8Array;
  folder: string;
  load: () => Promise<Model>;
}

/* What other inputs give says nothing of the record, so that it is asked again with its own only. */
async function verifyOne(
  record: ClassifyRecord,
  { hashes, image, folder, load }: Now,
  signal: AbortSignal,
): Promise<Difference[]> {
  const inputs = compareInputs(record, hashes, image);
  if (inputs.length > 0) return inputs;
  const model = await load();
  const versions = compareVersions(record.versions, describeVersions(folder, model.backend));
  if (versions.length > 0) {
    log.warn(
      `Not all is as it was: ${versions.map(describeDifference).join('; ')}. Results may differ for it.`,
    );
  }
  return await replay(record, model, image, signal);
}

function readImage(path: string, place: string): Uint8Array {
  const hint = 'Say where it is with --image.';
  if (path === '-') throw new ConfigError(`${place}: the picture came from stdin. ${hint}`);
  try {
    return readFileSync(path);
  } catch (error) {
    throw new DataError(`${place}: the picture ${path} cannot be read: ${messageOf(error)}. ${hint}`);
  }
}
