import { ConfigError, DataError } from '../common/errors.ts';
import { log } from '../common/log.ts';
import { startProgress } from '../common/progress.ts';
import { pickRuntime } from '../config/runtime.ts';
import { assertEmpty } from '../data/fillFolder.ts';
import { resolveModel } from '../data/hub.ts';
import { drawShots, planRows, type SeenPicture } from '../data/prepare/plan.ts';
import { writePrepared } from '../data/prepare/write.ts';
import { readRows } from '../data/readers/dataset.ts';
import type { ClassRow } from '../data/rows.ts';
import { selectBackend } from '../runtime/select.ts';
import { embedPictures } from '../stage/embedPictures.ts';
import { openInputs } from '../stage/inputs.ts';
import { loadForTraining } from '../train/trainedModel.ts';
import type { DataPrepareArguments } from './dataPrepare.ts';
import { abortOnSignal } from './interrupt.ts';

/** Embeds the pictures, makes rows of them, and prints what there is. */
export async function runDataPrepare({ path, out, model, ...options }: DataPrepareArguments): Promise<void> {
  for (const [name, least] of [
    ['shots', 2],
    ['options', 2],
    ['seed', 0],
  ] as const) {
    if (Number.isInteger(options[name]) && options[name] >= least) continue;
    throw new ConfigError(`--${name} is ${options[name]}; a whole number from ${least} was expected.`);
  }
  await assertEmpty(out);
  const rows = await readRows(path, 'classes');
  const shots = drawShots(rows, options);
  const tests = rows.filter(({ split }) => split === 'test');
  assertEnough(path, shots);
  const pictures = await abortOnSignal((signal) => embed(model, [...shots, ...tests], signal));
  const prepared = planRows(pictures.slice(0, shots.length), pictures.slice(shots.length), options);
  {
    using progress = startProgress('Writing', prepared.triplets.length, 'triplets');
    await writePrepared(out, prepared, (done) => {
      progress.update(done);
    });
  }
  if (prepared.withoutPositive.length > 0) {
    log.warn(
      `${prepared.withoutPositive.length} classes have a single training picture, so no positive, and are in no triplet as ` +
        `anchor: ${prepared.withoutPositive.join(', ')}.`,
    );
  }
  const { seen, unseen } = prepared.tests;
  process.stdout.write(
    `${out}: ${prepared.classes.length} classes; ${prepared.triplets.length} triplets of ${shots.length} training pictures; ` +
      `${seen.length} + ${unseen.length} test questions on seen and unseen classes; candidates.txt.\n`,
  );
}

function assertEnough(path: string, shots: readonly ClassRow[]): void {
  const classes = new Set(shots.map(({ label }) => label));
  if (classes.size >= 2) return;
  throw new DataError(
    `${path} has training pictures of ${classes.size} seen classes; at least 2 were expected, so that there is something to ` +
      'tell apart. Put them in train/CLASS/.',
  );
}

async function embed(name: string, rows: readonly ClassRow[], signal: AbortSignal): Promise<SeenPicture[]> {
  await selectBackend(pickRuntime({}));
  const folder = await resolveModel(name, { signal });
  using model = loadForTraining(folder, { dtype: 'auto', freeze: [], seed: 0 });
  await using inputs = openInputs(folder, model.network.config, { pictures: 'own' });
  using progress = startProgress('Looking', rows.length, 'pictures');
  const embeddings = await embedPictures(
    model.network,
    inputs,
    rows.map(({ image }) => image),
    {
      signal,
      onPictures: (done) => {
        progress.update(done);
      },
    },
  );
  return rows.map((row, i) => ({ row, embedding: embeddings[i] as Float32Array }));
}
