import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../../common/files.ts';
import { BackendError } from '../../common/errors.ts';
import { LIBRARY_FILES, TENSORFLOW_VERSION } from './library.ts';

export type Flavour = 'cpu' | 'gpu';

/** Where `finer1 setup` puts TensorFlow's `tensorflow` folder. */
export const installedFolder = (flavour: Flavour): string =>
  join(cacheFolder(), `tensorflow-${TENSORFLOW_VERSION}-${flavour}`, 'tensorflow');

/** A TensorFlow on disk. */
export interface Location {
  /** the folder that holds `LIBRARY_FILES` */
  folder: string;
  source: 'FINER1_TENSORFLOW' | 'setup';
}

/**
 * Finds the TensorFlow to use: the one that `FINER1_TENSORFLOW` names, else what `finer1 setup` installed (with
 * CUDA before the one without).
 *
 * @throws BackendError if there is none, or the named one is not one
 */
export function locateTensorFlow(): Location {
  const named = process.env.FINER1_TENSORFLOW;
  if (named !== undefined && named !== '') return { folder: checkNamed(named), source: 'FINER1_TENSORFLOW' };
  for (const flavour of ['gpu', 'cpu'] as const) {
    const folder = installedFolder(flavour);
    if (existsSync(folder)) return { folder, source: 'setup' };
  }
  throw new BackendError(
    `TensorFlow ${TENSORFLOW_VERSION} is not installed (looked in ${cacheFolder()}). ` +
      'Run `finer1 setup` (with `--gpu` for CUDA), or set FINER1_TENSORFLOW to the `tensorflow` folder of a Python environment.',
  );
}

function checkNamed(folder: string): string {
  for (const file of LIBRARY_FILES) {
    if (!existsSync(join(folder, file))) {
      throw new BackendError(
        `FINER1_TENSORFLOW is ${folder}, but there is no ${file} in it. ` +
          'Name the `tensorflow` folder itself, e.g. VENV/lib/python3.12/site-packages/tensorflow, or unset it.',
      );
    }
  }
  return folder;
}
