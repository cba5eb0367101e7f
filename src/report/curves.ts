import { type Watched, WATCHED } from '../config/tapoAlarms.ts';
import { drawLines, type Line } from './charts.ts';
import type { MetricsRow } from './files.ts';
import { html, type Html } from './html.ts';
import type { Training } from './training.ts';

/* A figure of metrics.jsonl, or what follows from some. */
type Figure = string | ((row: MetricsRow) => number | null | undefined);

interface CurveSpec {
  title: string;
  /** by what they are called in the legend */
  figures: Record<string, Figure>;
  isShare?: boolean;
}

const VALIDATION: CurveSpec = {
  title: 'Validation',
  figures: { right: 'validation/accuracy', 'right form': 'validation/wellFormed' },
  isShare: true,
};
const NORM: CurveSpec = { title: 'Norm of the gradient', figures: { norm: 'gradientNorm' } };
const RATE: CurveSpec = { title: 'Learning rate', figures: { rate: 'learningRate' } };

const CURVES: Record<Training['stage'], readonly CurveSpec[]> = {
  sft: [
    { title: 'Loss', figures: { loss: 'loss' } },
    VALIDATION,
    NORM,
    RATE,
    {
      title: 'Tokens per second',
      figures: { tokens: ({ tokens, seconds }) => (seconds ? (tokens ?? NaN) / seconds : null) },
    },
  ],
  tapo: [
    {
      title: 'Right in rollouts',
      figures: { strictly: 'reward/strict', 'by the reward': 'reward/accuracy' },
      isShare: true,
    },
    {
      title: 'Strictly right, by picture',
      figures: { anchor: 'reward/anchor/strict', positive: 'reward/positive/strict' },
      isShare: true,
    },
    { title: 'Form', figures: { 'right form': 'reward/format', truncated: 'truncated' }, isShare: true },
    VALIDATION,
    { title: 'Loss', figures: { loss: 'loss' } },
    { title: 'KL to the negative picture', figures: { 'KL inter': 'loss/klInter' } },
    {
      title: 'Entropy',
      figures: { 'on the picture': 'loss/entropy', 'on the negative': 'loss/entropyNegative' },
    },
    { title: 'Tokens of a response', figures: { all: 'length/mean', finished: 'length/finished' } },
    {
      title: 'Groups',
      figures: {
        kept: 'groups/acceptance',
        'one reward': 'groups/zeroVariance',
        'all right': 'groups/alwaysRight',
        'all wrong': 'groups/alwaysWrong',
      },
      isShare: true,
    },
    NORM,
    RATE,
    {
      title: 'Seconds of a step',
      figures: { rollout: 'seconds/rollout', score: 'seconds/score', update: 'seconds/update' },
    },
    {
      title: 'Tokens per second',
      figures: {
        rollout: 'tokensPerSecond/rollout',
        score: 'tokensPerSecond/score',
        update: 'tokensPerSecond/update',
      },
    },
  ],
};

const STAGES = { sft: 'Fine-tuning', tapo: 'TAPO' } as const;

/** The curves of trainings, those of a stage in the same charts. */
export function curves(trainings: readonly Training[]): Html {
  const logged = trainings.filter(({ metrics }) => metrics.length > 0);
  return html`${(['sft', 'tapo'] as const).map((stage) => {
    const some = logged.filter((training) => training.stage === stage);
    if (some.length === 0) return undefined;
    return html`<h3>${STAGES[stage]}</h3>
      <div class="charts">${CURVES[stage].map((spec) => curve(spec, some, trainings))}</div>
      ${otherFigures(stage, some, trainings)}`;
  })}`;
}

/* All figures that no curve above shows. */
function otherFigures(
  stage: Training['stage'],
  some: readonly Training[],
  all: readonly Training[],
): Html | undefined {
  const shown = new Set<Figure>(CURVES[stage].flatMap(({ figures }) => Object.values(figures)));
  const names = new Set(some.flatMap(({ metrics }) => metrics.flatMap((row) => Object.keys(row))));
  const others = [...names].filter((name) => name !== 'step' && !shown.has(name)).sort();
  if (others.length === 0) return undefined;
  return html`<details>
    <summary>${others.length} more figures</summary>
    <div class="charts">
      ${others.map((name) => curve({ title: name, figures: { '': name } }, some, all))}
    </div>
  </details>`;
}

/* Colours are those of the runs; of the figures where there is one run. */
function curve(
  { title, figures, isShare = false }: CurveSpec,
  some: readonly Training[],
  all: readonly Training[],
): Html | undefined {
  const isOne = some.length === 1;
  const lines = some.flatMap((training) =>
    Object.entries(figures).map(([name, figure], i): Line => ({
      name: isOne ? name : `${training.name} ${name}`.trim(),
      colour: isOne ? i : all.indexOf(training),
      dash: isOne ? 0 : i,
      points: training.metrics.flatMap((row) => {
        const y = typeof figure === 'string' ? row[figure] : figure(row);
        return y === undefined ? [] : [{ x: row.step, y: y ?? NaN }];
      }),
    })),
  );
  const drawn = lines.filter(({ points }) => points.some(({ y }) => Number.isFinite(y)));
  if (drawn.length === 0) return undefined;
  const limits = limitsOf(Object.values(figures), some, drawn);
  return drawLines({ title, lines: drawn, over: 'step', isShare, limits });
}

/* The limits of alarms that are not far from the lines. */
function limitsOf(
  figures: readonly Figure[],
  some: readonly Training[],
  lines: readonly Line[],
): { value: number; name: string }[] {
  const values = lines.flatMap(({ points }) => points.map(({ y }) => y)).filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const isNear = (value: number): boolean => value >= low - (high - low) && value <= high + (high - low);
  const limits = WATCHED.filter(({ figure }) => figures.includes(figure)).flatMap((watched) =>
    some.flatMap((training) => {
      const value = limitOf(watched, training);
      return value !== undefined && isNear(value) ? [{ value, name: `alarms.${watched.limit}` }] : [];
    }),
  );
  return [...new Map(limits.map((one) => [`${one.name} ${one.value}`, one])).values()];
}

function limitOf({ limit, figure, isOfFirst }: Watched, { limits, metrics }: Training): number | undefined {
  if (limits === undefined) return undefined;
  return isOfFirst === true ? limits[limit] * (metrics[0]?.[figure] ?? NaN) : limits[limit];
}
