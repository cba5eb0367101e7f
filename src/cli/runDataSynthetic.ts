import { type Progress, startProgress } from '../common/progress.ts';
import { writeSyntheticSet } from '../data/synthetic/write.ts';
import type { DataSyntheticArguments } from './dataSynthetic.ts';
import { abortOnSignal } from './interrupt.ts';

/** Draws the set, and prints what it holds. */
export async function runDataSynthetic({ out, ...options }: DataSyntheticArguments): Promise<void> {
  let progress: Progress | undefined;
  try {
    const plan = await abortOnSignal((signal) =>
      writeSyntheticSet(out, options, {
        signal,
        onProgress: (done, total) => {
          progress ??= startProgress('Drawing', total, 'pictures');
          progress.update(done);
        },
      }),
    );
    const { sft, triplets, evalSeen, evalUnseen, classes, pictures } = plan;
    process.stdout.write(
      `${out}: ${classes.length} kinds of birds, ${classes.filter(({ seen }) => seen).length} of them seen, in ` +
        `${pictures.length} pictures; ${sft.length} rationales, ${triplets.length} triplets, ` +
        `${evalSeen.length} + ${evalUnseen.length} test questions. README.md says more.\n`,
    );
  } finally {
    progress?.[Symbol.dispose]();
  }
}
