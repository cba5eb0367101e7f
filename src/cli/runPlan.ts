import { loadConfigFile } from '../config/file.ts';
import { sftSchema } from '../config/sft.ts';
import type { Plan } from '../stage/plan.ts';
import type { Advice } from '../stage/planAdvice.ts';
import { planSft } from '../stage/planSft.ts';
import { describeSeconds } from '../train/run/progress.ts';
import type { PlanArguments } from './plan.ts';

/** Plans a training, prints the plan, and sets the exit status to 1 if it will not fit. */
export async function runPlan({ config: file, set, json }: PlanArguments): Promise<void> {
  const { plan, advice } = await planSft(loadConfigFile(file, sftSchema, set.map(String)));
  process.stdout.write(
    json ? `${JSON.stringify({ ...plan, advice }, undefined, 2)}\n` : `${render(plan, advice).join('\n')}\n`,
  );
  if (!plan.fits.memory || !plan.fits.disk) process.exitCode = 1;
}

function render(plan: Plan, advice: readonly Advice[]): string[] {
  const { memory, disk, fits } = plan;
  const verdicts = [
    fits.memory || `It will not fit in memory: ${size(memory.totalBytes - memory.availableBytes)} too much.`,
    fits.disk || `It will not fit on the disk: ${size(disk.totalBytes - disk.freeBytes)} too much.`,
  ].filter((one) => one !== true);
  return [
    ...align(facts(plan)),
    '',
    ...align(memoryTable(plan)),
    '',
    ...(verdicts.length === 0 ? ['It fits.'] : verdicts),
    ...(advice.length === 0 ? [] : ['What to change, and what it saves:', ...align(changes(advice))]),
  ];
}

function facts({ backend, parameters, data, steps, time, disk }: Plan): string[][] {
  const { measured } = time;
  const learnt = `${count(data.learntTokens)} learnt`;
  return [
    ['Backend', `${backend.backend} on ${backend.device}`],
    ['Parameters', `${count(parameters.all)} in ${parameters.dtype}, ${count(parameters.trained)} trained`],
    [
      'Rows',
      `${count(data.rows)}, ${count(data.tooLong)} left out as too long; ${count(data.images)} pictures`,
    ],
    ['Tokens', `${count(data.textTokens)} of text (${learnt}), ${count(data.imageTokens)} of pictures`],
    ['Steps', `${count(steps.total)}, ${count(steps.perEpoch)} an epoch`],
    [
      'A step',
      `${steps.rows} rows, ${steps.microBatches} micro-batch${steps.microBatches === 1 ? '' : 'es'}, up to ${steps.longest} tokens a row; checkpointing ${steps.checkpointing}`,
    ],
    [
      'Time',
      `${describeSeconds(time.totalSeconds)}: ${stepTime(time.stepSeconds)} a step, ` +
        `${describeSeconds(time.compileSeconds)} to compile, ${describeSeconds(time.validationSeconds)} to validate at most ` +
        `(measured: ${(measured.flops / 1e9).toFixed(0)} GFLOP/s)`,
    ],
    [
      'Disk',
      `${size(disk.totalBytes)}: ${disk.checkpoints} x ${size(disk.checkpointBytes)} (checkpoints); ${size(disk.freeBytes)} free`,
    ],
  ];
}

const PARTS: Record<keyof Plan['memory']['parts'], string> = {
  program: 'program',
  weights: 'weights',
  moments: 'moments',
  gradients: 'gradients of a micro-batch',
  accumulator: 'their sum',
  activations: 'activations',
  compiled: 'compiled code',
  images: 'pictures',
  kvCache: 'KV cache of a validation',
};

function memoryTable({ memory }: Plan): string[][] {
  const parts = Object.entries(PARTS).map(([part, name]) => [
    `  ${name}`,
    size(memory.parts[part as keyof typeof PARTS]),
  ]);
  return [
    ['Memory', '', ''],
    ...parts,
    ['  at once, at most', size(memory.totalBytes), `in the ${memory.peak}`.replace('the adding', 'adding')],
    ['  available', size(memory.availableBytes)],
  ];
}

const changes = (advice: readonly Advice[]): string[][] =>
  advice.map(({ set, what, memoryBytes, diskBytes, fits }) => [
    `  ${set.map((one) => `--set ${one}`).join(' ')}`,
    `${size(memoryBytes)} of memory${diskBytes > 0 ? `, ${size(diskBytes)} of disk` : ''}`,
    `${what}${fits ? '; then it fits' : ''}`,
  ]);

function align(rows: readonly string[][]): string[] {
  const widths = rows.reduce<number[]>(
    (widest, row) => row.map((cell, i) => Math.max(cell.length, widest[i] ?? 0)),
    [],
  );
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

const count = (value: number): string => value.toLocaleString('en-GB');

const stepTime = (seconds: number): string =>
  seconds < 10 ? `${seconds.toFixed(2)} s` : describeSeconds(seconds);

const size = (bytes: number): string =>
  Math.abs(bytes) < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
