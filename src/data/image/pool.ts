import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { BackendError, DataError, messageOf } from '../../common/errors.ts';
import type { ImageConfig, ImageQuirks } from '../../config/image.ts';
// sharp has to be loaded here before it is on a thread, or glibc drops it with the thread; decode.ts loads it.
import { type ImageSource, nameOf } from './decode.ts';
import type { ProcessedImage } from './process.ts';

/** What a thread is started with. */
export interface WorkerSettings {
  config: ImageConfig;
  quirks: ImageQuirks;
}

/** What a thread answers: a picture, what is wrong with the file (a DataError's message), or a defect. */
export type Outcome = { image: ProcessedImage } | { unusable: string } | { error: unknown };

export interface ImagePoolOptions extends WorkerSettings {
  /** threads, at most: one starts when a picture finds none free. Default: one for each core, at most 8 */
  workers?: number;
}

/**
 * Threads that decode and process pictures. Idle ones keep no process alive; disposing of the pool ends them after the
 * pictures under way, and what still waits is refused with a BackendError.
 */
export interface ImagePool extends AsyncDisposable {
  /**
   * `processImage` on the next free thread: equal values, the same errors.
   * @throws DataError that names the file, if it cannot be used
   * @throws BackendError if the thread ended, for lack of memory say, or the pool was disposed of
   */
  process(source: ImageSource): Promise<ProcessedImage>;
  /**
   * Pictures in the order of their sources. While one is used, twice as many as there are threads are worked on.
   * @throws as `process`, in the turn of the picture
   */
  map(
    sources: Iterable<ImageSource> | AsyncIterable<ImageSource>,
  ): AsyncGenerator<ProcessedImage, void, void>;
}

interface Task {
  source: ImageSource;
  resolve: (image: ProcessedImage) => void;
  reject: (reason: unknown) => void;
}

const MAX_DEFAULT_WORKERS = 8;

/* In a checkout the sources run as they are; in the package the worker is an entry of scripts/build.ts. */
const workerFile = (): string | URL =>
  import.meta.url.endsWith('.ts')
    ? new URL('./startPoolWorker.js', import.meta.url)
    : join(dirname(createRequire(import.meta.url).resolve('finer1/package.json')), 'dist', 'imageWorker.js');

/** Threads for pictures that are all processed alike. */
export function createImagePool({
  config,
  quirks,
  workers = Math.min(availableParallelism(), MAX_DEFAULT_WORKERS),
}: ImagePoolOptions): ImagePool {
  const threads = new Set<Worker>();
  const idle: Worker[] = [];
  const running = new Map<Worker, Task>();
  const waiting: Task[] = [];
  let disposed = false;

  const start = (): Worker => {
    // The parent's flags may be for its own loader.
    const worker = new Worker(workerFile(), { workerData: { config, quirks }, execArgv: [] });
    threads.add(worker);
    worker.on('message', (outcome: Outcome) => {
      const task = running.get(worker);
      running.delete(worker);
      // One that is being ended keeps the process alive until it has: see `end`.
      if (!disposed) worker.unref();
      idle.push(worker);
      if (task !== undefined) settle(task, outcome);
      assign();
    });
    worker.on('error', (error) => lose(worker, messageOf(error)));
    worker.on('exit', (status) => lose(worker, `it left with status ${status}`));
    return worker;
  };
  const lose = (worker: Worker, reason: string): void => {
    if (!threads.delete(worker)) return;
    if (idle.includes(worker)) idle.splice(idle.indexOf(worker), 1);
    const task = running.get(worker);
    running.delete(worker);
    task?.reject(
      new BackendError(
        `The thread that processed ${nameOf(task.source)} ended: ${reason}. Expected: a processed picture. If memory is ` +
          `short, use fewer threads than ${workers}, or smaller pictures.`,
      ),
    );
    assign();
  };
  const assign = (): void => {
    if (waiting.length === 0) return;
    const worker = idle.pop() ?? (threads.size < workers ? start() : undefined);
    if (worker === undefined) return;
    const task = waiting.shift() as Task;
    running.set(worker, task);
    worker.ref();
    send(worker, task.source);
  };
  const process = (source: ImageSource): Promise<ProcessedImage> =>
    new Promise((resolve, reject) => {
      if (disposed) throw refusal(source);
      waiting.push({ source, resolve, reject });
      assign();
    });
  return {
    process,
    map: (sources) => mapAhead(sources, process, 2 * workers),
    [Symbol.asyncDispose]: async () => {
      disposed = true;
      for (const { source, reject } of waiting.splice(0)) reject(refusal(source));
      await Promise.all([...threads].map(end));
    },
  };
}

/**
 * Runs a function on items ahead of their use.
 *
 * @param ahead how many are under way, or done and not yet used, besides the one that is waited for
 * @returns results in the order of the items
 * @throws what the function threw, in the item's turn
 */
export async function* mapAhead<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  run: (item: T) => Promise<R>,
  ahead: number,
): AsyncGenerator<R, void, void> {
  const started: Promise<R>[] = [];
  for await (const item of items) {
    const result = run(item);
    // It may fail before its turn, or never have one.
    result.catch(() => undefined);
    started.push(result);
    if (started.length > ahead) yield await (started.shift() as Promise<R>);
  }
  for (const result of started) yield await result;
}

function settle({ resolve, reject }: Task, outcome: Outcome): void {
  if ('image' in outcome) resolve(outcome.image);
  else reject('unusable' in outcome ? new DataError(outcome.unusable) : outcome.error);
}

/* Bytes go as a copy that is handed over: posting a view would copy all of the buffer that it is in. */
function send(worker: Worker, source: ImageSource): void {
  if (typeof source === 'string') {
    worker.postMessage(source);
    return;
  }
  const bytes = new Uint8Array(source);
  worker.postMessage(bytes, [bytes.buffer]);
}

/* Not terminated: the picture under way is in native code. */
function end(worker: Worker): Promise<void> {
  return new Promise((resolve) => {
    worker.once('exit', () => resolve());
    worker.ref(); // or the process could end before the promise does
    worker.postMessage(null);
  });
}

const refusal = (source: ImageSource): BackendError =>
  new BackendError(
    `${nameOf(source)} was not processed: its pool of threads is disposed of. Dispose of it after the last picture.`,
  );
