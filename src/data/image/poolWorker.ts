import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { DataError } from '../../common/errors.ts';
import type { ImageSource } from './decode.ts';
import type { Outcome, WorkerSettings } from './pool.ts';
import { processImage } from './process.ts';

/* A thread of the pool in pool.ts: a picture in, its outcome out; null ends it. */
const port = parentPort;
if (port === null) throw new Error('poolWorker.ts runs on a worker thread only.');
const { config, quirks } = workerData as WorkerSettings;

let underWay = Promise.resolve();

port.on('message', (source: ImageSource | null) => {
  underWay = source === null ? underWay.then(() => port.close()) : answer(source, port);
});

async function answer(source: ImageSource, to: MessagePort): Promise<void> {
  try {
    const image = await processImage(source, config, quirks);
    to.postMessage({ image } satisfies Outcome, [image.pixelValues.buffer as ArrayBuffer]);
  } catch (error) {
    // A copy of an error is no longer of its class.
    const outcome: Outcome = error instanceof DataError ? { unusable: error.message } : { error };
    to.postMessage(outcome);
  }
}
