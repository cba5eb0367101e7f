import { type SftConfig, sftSchema } from '../config/sft.ts';
import type { Plan } from './plan.ts';

/** A change that helps, and what it saves. */
export interface Advice {
  /** as `--set` takes it */
  set: string[];
  /** what it does, for people */
  what: string;
  memoryBytes: number;
  diskBytes: number;
  /** whether this is enough by itself; of the last one, whether all of them together are */
  fits: boolean;
}

interface Change {
  /** of changes of the same thing one is taken */
  of: 'activations' | 'batch' | 'moments' | 'adapter' | 'pictures' | 'checkpoints';
  set: string[];
  what: string;
  /** the config with it */
  apply(config: SftConfig): SftConfig;
}

/**
 * What to change where a training does not fit, the most helpful first; all together last.
 * @param planWith plans another config
 */
export async function adviceFor(
  config: SftConfig,
  plan: Plan,
  planWith: (config: SftConfig) => Promise<Plan>,
): Promise<Advice[]> {
  if (plan.fits.memory && plan.fits.disk) return [];
  const changes = changesOf(config, plan);
  const advice: (Advice & { change: Change })[] = [];
  for (const change of changes) {
    const saved = savedBy(plan, await planWith(change.apply(config)));
    if (saved.memoryBytes > 0 || saved.diskBytes > 0) {
      advice.push({ set: change.set, what: change.what, ...saved, change });
    }
  }
  advice.sort((a, b) => b.memoryBytes - a.memoryBytes || b.diskBytes - a.diskBytes);
  const single = advice.map(({ set, what, memoryBytes, diskBytes, fits }) => ({
    set,
    what,
    memoryBytes,
    diskBytes,
    fits,
  }));
  // An adapter instead of the weights is another training: all of the rest first.
  const others = advice
    .map(({ change }) => change)
    .filter(({ of }, i, all) => of !== 'adapter' && all.findIndex((one) => one.of === of) === i);
  if (others.length < 2) return single;
  const together = others.reduce((changed, change) => change.apply(changed), config);
  const saved = savedBy(plan, await planWith(together));
  const what = 'all but the adapter together';
  return [...single, { set: others.flatMap(({ set }) => set), what, ...saved }];
}

const savedBy = (before: Plan, after: Plan): Pick<Advice, 'memoryBytes' | 'diskBytes' | 'fits'> => ({
  memoryBytes: before.memory.totalBytes - after.memory.totalBytes,
  diskBytes: before.disk.totalBytes - after.disk.totalBytes,
  fits: after.fits.memory && after.fits.disk,
});

function changesOf(config: SftConfig, { steps, parameters, data, fits }: Plan): Change[] {
  const { batch, optimiser, checkpoints, lora } = config;
  const changes: (Change | false)[] = [
    steps.checkpointing === 'none' && {
      of: 'activations',
      set: ['checkpointing=blocks'],
      what: 'compute activations again, a third more work',
      apply: (one) => ({ ...one, checkpointing: 'blocks' }),
    },
    batch.rowsPerMicroBatch > 1 && {
      of: 'batch',
      set: ['batch.rowsPerMicroBatch=1'],
      what: 'one row at a time; the same update if batch.accumulation is token-mean',
      apply: (one) => ({ ...one, batch: { ...one.batch, rowsPerMicroBatch: 1 } }),
    },
    steps.microBatches > 1 && {
      of: 'batch',
      set: [`batch.rowsPerMicroBatch=${batch.rowsPerStep}`],
      what: 'all rows of a step at once: no gradients to add up',
      apply: (one) => ({ ...one, batch: { ...one.batch, rowsPerMicroBatch: batch.rowsPerStep } }),
    },
    parameters.dtype === 'float32' &&
      lora === undefined && {
        of: 'moments',
        set: ['dtype=bfloat16', 'optimiser.kahan=true'],
        what: 'weights and moments of half the size, updates compensated',
        apply: (one) => ({ ...one, dtype: 'bfloat16', optimiser: { ...one.optimiser, kahan: true } }),
      },
    !optimiser.kahan &&
      optimiser.momentsDtype === 'float32' && {
        of: 'moments',
        set: ['optimiser.momentsDtype=bfloat16'],
        what: 'moments of half the size',
        apply: (one) => ({ ...one, optimiser: { ...one.optimiser, momentsDtype: 'bfloat16' } }),
      },
    lora === undefined && {
      of: 'adapter',
      set: ['lora.r=16', ...(optimiser.kahan ? ['optimiser.kahan=false'] : [])],
      what: 'train an adapter instead of the weights',
      apply: (one) => ({
        ...one,
        lora: sftSchema.shape.lora.parse({}),
        optimiser: { ...one.optimiser, kahan: false },
      }),
    },
    data.imageTokens > 0 && halvedPictures(config, data),
    !fits.disk &&
      checkpoints.keepLast > 1 && {
        of: 'checkpoints',
        set: ['checkpoints.keepLast=1'],
        what: 'keep one checkpoint, besides the best',
        apply: (one) => ({ ...one, checkpoints: { ...one.checkpoints, keepLast: 1 } }),
      },
  ];
  return changes.filter((change) => change !== false);
}

const PIXELS_OF_TOKEN = 28 ** 2;

/* Pictures of half the pixels that they have on average. */
function halvedPictures({ data: { maxPixels, minPixels } }: SftConfig, data: Plan['data']): Change | false {
  const average = (PIXELS_OF_TOKEN * data.imageTokens) / Math.max(1, data.images);
  const halved = Math.round(Math.min(maxPixels ?? Infinity, average) / 2 / PIXELS_OF_TOKEN) * PIXELS_OF_TOKEN;
  if (halved < Math.max(minPixels ?? 0, 16 * PIXELS_OF_TOKEN)) return false;
  return {
    of: 'pictures',
    set: [`data.maxPixels=${halved}`],
    what: 'pictures of half the size',
    apply: (one) => ({ ...one, data: { ...one.data, maxPixels: halved } }),
  };
}
