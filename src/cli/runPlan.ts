import { describeSeconds } from '../common/progress.ts';
import { loadConfigFile, settingsIn } from '../config/file.ts';
import { sftSchema } from '../config/sft.ts';
import { tapoSchema } from '../config/tapo.ts';
import type { Plan } from '../stage/plan.ts';
import type { Advice } from '../stage/planAdvice.ts';
import { planSft } from '../stage/planSft.ts';
import { planTapo, type TapoPlan } from '../stage/planTapo.ts';
import type { PlanArguments } from './plan.ts';

/* What only a config of stage 2 has. */
const OF_TAPO = ['variant', 'rollout', 'reward', 'filter', 'loss', 'alarms'];

/** Plans a training, prints the plan, and sets the exit status to 1 if it will not fit. */
export async function runPlan({ config: file, set, json }: PlanArguments): Promise<void> {
  const overrides = set.map(String);
  if (settingsIn(file, OF_TAPO).length > 0) {
    const plan = await planTapo(loadConfigFile(file, tapoSchema, overrides));
    print(plan, json ? plan : [...align(factsOfTapo(plan)), '', ...judged(plan)]);
    return;
  }
  const { plan, advice } = await planSft(loadConfigFile(file, sftSchema, overrides));
  const advised =
    advice.length === 0 ? [] : ['What to change, and what it saves:', ...align(changes(advice))];
  print(plan, json ? { ...plan, advice } : [...align(facts(plan)), '', ...judged(plan), ...advised]);
}

function print({ fits }: Pick<Plan, 'fits'>, what: object | string[]): void {
  const text = Array.isArray(what) ? what.join('\n') : JSON.stringify(what, undefined, 2);
  process.stdout.write(`${text}\n`);
  if (!fits.memory || !fits.disk) process.exitCode = 1;
}

function judged({ memory, disk, fits }: Pick<Plan, 'memory' | 'disk' | 'fits'>): string[] {
  const verdicts = [
    fits.memory || `It will not fit in memory: ${size(memory.totalBytes - memory.availableBytes)} too much.`,
    fits.disk || `It will not fit on the disk: ${size(disk.totalBytes - disk.freeBytes)} too much.`,
  ].filter((one) => one !== true);
  return [...align(memoryTable({ memory })), '', ...(verdicts.length === 0 ? ['It fits.'] : verdicts)];
}

type Common = Pick<Plan, 'backend' | 'parameters' | 'disk'>;

const heading = ({ backend, parameters }: Common): string[][] => [
  ['Backend', `${backend.backend} on ${backend.device}`],
  ['Parameters', `${count(parameters.all)} in ${parameters.dtype}, ${count(parameters.trained)} trained`],
];

const diskFact = ({ disk }: Common): string[] => [
  'Disk',
  `${size(disk.totalBytes)}: ${disk.checkpoints} x ${size(disk.checkpointBytes)} (checkpoints); ${size(disk.freeBytes)} free`,
];

function factsOfTapo(plan: TapoPlan): string[][] {
  const { data, steps, time } = plan;
  return [
    ...heading(plan),
    ['Triplets', `${count(data.triplets)}, ${count(data.tooLong)} left out as too long`],
    ['A prompt', `up to ${data.promptTokens} tokens, ${data.imageTokens} of a picture`],
    ['Steps', count(steps.total)],
    [
      'A step',
      `${count(steps.prompts)} prompts, ${count(steps.responses)} responses, ${steps.updates} update${steps.updates === 1 ? '' : 's'} of ` +
        `${steps.microBatches} micro-batch${steps.microBatches === 1 ? '' : 'es'}; checkpointing ${steps.checkpointing}`,
    ],
    [
      'Time',
      `${describeSeconds(time.totalSeconds)} if responses are as long as they may be and no group is dropped: rollout ` +
        `${stepTime(time.rolloutSeconds)}, scoring ${stepTime(time.scoreSeconds)}, update ${stepTime(time.updateSeconds)} a step ` +
        `(measured: ${(time.measured.flops / 1e9).toFixed(0)} GFLOP/s)`,
    ],
    diskFact(plan),
  ];
}

function facts(plan: Plan): string[][] {
  const { data, steps, time } = plan;
  const { measured } = time;
  const learnt = `${count(data.learntTokens)} learnt`;
  return [
    ...heading(plan),
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
    diskFact(plan),
  ];
}

const PARTS: Record<keyof Plan['memory']['parts'], string> = {
  program: 'program',
  weights: 'weights',
  reference: 'frozen reference',
  moments: 'moments',
  gradients: 'gradients of a micro-batch',
  accumulator: 'their sum',
  activations: 'activations',
  compiled: 'compiled code',
  images: 'pictures',
  kvCache: 'KV cache',
};

function memoryTable({ memory }: Pick<Plan, 'memory'>): string[][] {
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
