import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../common/errors.ts';
import { readJson } from '../common/json.ts';
import { log } from '../common/log.ts';
import { type Progress, startProgress } from '../common/progress.ts';
import { loadConfigFile } from '../config/file.ts';
import { type ImageConfig, parseImageConfig, PICTURES, readImageConfig, RELEASED } from '../config/image.ts';
import { parseModelConfig } from '../config/model.ts';
import { sftSchema } from '../config/sft.ts';
import { checkData, type CheckOptions, type CheckReport } from '../data/check/check.ts';
import { formatReport } from '../data/check/report.ts';
import { readUnseen } from '../data/check/unseen.ts';
import { openData, type OpenedData, openKind } from '../data/readers/dataset.ts';
import { loadTokenizer } from '../data/text/tokenizer.ts';
import type { DataCheckArguments } from './dataCheck.ts';

/** Checks the data, prints what is found, and sets the exit status to 1 if there are errors. */
export async function runDataCheck(options: DataCheckArguments): Promise<void> {
  const { config, set, paths, unseen, json } = options;
  if (paths.length > 0 === (config !== undefined)) {
    throw new ConfigError(
      'Give files or folders of data, or a config that names them by --config; not both.',
    );
  }
  const { data, settings } =
    config === undefined ? await ofPaths(options) : await ofConfig(config, set.map(String));
  let progress: Progress | undefined;
  let report: CheckReport;
  try {
    report = await checkData(data, {
      ...settings,
      ...(unseen !== undefined && { unseen: await readUnseen(unseen) }),
      onProgress: (done, total) => {
        progress ??= startProgress('Looking', total, 'pictures');
        progress.update(done);
      },
    });
  } finally {
    progress?.[Symbol.dispose]();
  }
  process.stdout.write(json ? `${JSON.stringify(report, undefined, 2)}\n` : formatReport(report));
  if (!report.ok) process.exitCode = 1;
}

interface ToCheck {
  data: OpenedData;
  settings: CheckOptions;
}

async function ofPaths({ paths, imageRoot, model, cutoff = 4096 }: DataCheckArguments): Promise<ToCheck> {
  if (!Number.isInteger(cutoff) || cutoff < 1) {
    throw new ConfigError(`cutoff is ${cutoff}; a whole number above 0 was expected.`);
  }
  const opened = await Promise.all(
    paths.map((path) => openData(path, imageRoot === undefined ? {} : { imageRoot })),
  );
  return {
    data: {
      datasets: opened.flatMap(({ datasets }) => datasets),
      ignored: opened.flatMap(({ ignored }) => ignored),
    },
    settings: { ...ofModel(model, {}), quirks: PICTURES, cutoffTokens: cutoff },
  };
}

/* As the training of a config uses its data. */
async function ofConfig(file: string, overrides: readonly string[]): Promise<ToCheck> {
  const { data, model } = loadConfigFile(file, sftSchema, overrides);
  const isHere = existsSync(model);
  if (!isHere) log.warn(`There is no folder ${model}: text is not counted, and pictures by default sizes.`);
  const train = await Promise.all(data.train.map((path) => openKind(path, 'chat')));
  const validation = await Promise.all((data.validation ?? []).map((path) => openKind(path, 'eval')));
  return {
    data: { datasets: [...train.flat(), ...validation.flat()], ignored: [] },
    settings: {
      ...ofModel(isHere ? model : undefined, data),
      quirks: { ...(data.pictures === 'released' ? RELEASED : PICTURES), preSize: data.preSize },
      cutoffTokens: data.cutoffTokens,
    },
  };
}

/* What a model's folder says of text and pictures; without one, pictures have the released models' sizes. */
function ofModel(
  folder: string | undefined,
  limits: { minPixels?: number | undefined; maxPixels?: number | undefined },
): Pick<CheckOptions, 'imageConfig' | 'tokenizer'> {
  if (folder === undefined) {
    const released = parseImageConfig({}, 'preprocessor_config.json');
    const { minPixels = released.minPixels, maxPixels = released.maxPixels } = limits;
    const imageConfig: ImageConfig = { ...released, minPixels, maxPixels };
    return { imageConfig };
  }
  const file = join(folder, 'config.json');
  const { vision } = parseModelConfig(readJson(file), file);
  return { imageConfig: readImageConfig(folder, vision, limits), tokenizer: loadTokenizer(folder) };
}
