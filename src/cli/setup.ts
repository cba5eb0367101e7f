import type { CommandModule } from 'yargs';
import { log } from '../common/log.ts';
import { installTensorFlow } from '../runtime/tensorflow/install/install.ts';
import { loadLibrary, TENSORFLOW_VERSION } from '../runtime/tensorflow/library.ts';
import { type Flavour, type Location, locateTensorFlow } from '../runtime/tensorflow/locate.ts';
import { abortOnSignal } from './interrupt.ts';

interface SetupOptions {
  gpu: boolean;
  force: boolean;
  json: boolean;
}

/* What `finer1 setup --json` prints. */
interface SetupResult {
  version: string;
  /** null for one that FINER1_TENSORFLOW names */
  flavour: Flavour | null;
  folder: string;
  source: Location['source'];
  installed: boolean;
  downloadedBytes: number;
}

/** `finer1 setup`: installs TensorFlow's libraries. */
export const setupCommand: CommandModule<object, SetupOptions> = {
  command: 'setup',
  describe: `Install the TensorFlow ${TENSORFLOW_VERSION} that finer1 computes with, through your pip or uv`,
  builder: {
    gpu: {
      type: 'boolean',
      default: false,
      describe: 'With CUDA, for GPUs of NVIDIA (3 GiB to download, 5 GiB on disk)',
    },
    force: { type: 'boolean', default: false, describe: 'Install it anew even if it is there' },
    json: { type: 'boolean', default: false, describe: 'Print JSON' },
  },
  handler: async ({ gpu, force, json }) => {
    const result = (force ? undefined : useNamed()) ?? (await install(gpu ? 'gpu' : 'cpu', force));
    if (json) process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  },
};

/* The TensorFlow that FINER1_TENSORFLOW names, once it has shown that it loads. */
function useNamed(): SetupResult | undefined {
  if ((process.env.FINER1_TENSORFLOW ?? '') === '') return undefined;
  const { folder, source } = locateTensorFlow();
  loadLibrary(folder);
  log.info(
    `FINER1_TENSORFLOW names ${folder}: that one is used, and nothing is installed (--force does it anyway).`,
  );
  return { version: TENSORFLOW_VERSION, flavour: null, folder, source, installed: false, downloadedBytes: 0 };
}

async function install(flavour: Flavour, force: boolean): Promise<SetupResult> {
  const result = await abortOnSignal((signal) => installTensorFlow(flavour, { force, signal }));
  if (result.installed) loadLibrary(result.folder);
  const what = `TensorFlow ${TENSORFLOW_VERSION} (${flavour})`;
  log.info(`${what} ${result.installed ? 'is installed' : 'was installed already'} in ${result.folder}`);
  return { version: TENSORFLOW_VERSION, flavour, source: 'setup', ...result };
}
