import * as Plot from '@observablehq/plot';
import { groupBy } from '../eval/groupBy.ts';
import { type Confusions, totalOf } from './confusions.ts';
import { percent, short } from './format.ts';
import { html, Html } from './html.ts';
import { drawSvg } from './svg.ts';

/** A line of a chart; the ends of its name and value go to the legend. */
export interface Line {
  name: string;
  /** of the palette, from 0 */
  colour: number;
  /** of the ways to draw it, from 0 */
  dash: number;
  points: { x: number; y: number }[];
}

/** What a chart shows. */
export interface Chart {
  title: string;
  lines: Line[];
  /** what x is: a whole number, or a share */
  over: 'step' | 'coverage';
  /** shares are shown in percent */
  isShare: boolean;
  /** values that a line may not pass */
  limits: { value: number; name: string }[];
}

const MAX_POINTS = 300;
const DOTTED_UP_TO = 40;
const PALETTE = 8;
/* The style sheet has the same for legends. */
const DASHES = ['none', '7 4', '2 4', '10 3 2 3'] as const;

/** The colour of a run or figure; the style sheet says which it is, in light and in dark. */
export const colourOf = (number: number): string => `var(--c${(number % PALETTE) + 1})`;

/** Draws lines over steps or shares. */
export function drawLines({ title, lines, over, isShare, limits }: Chart): Html {
  const isOverSteps = over === 'step';
  const stepText = (step: number): string => (Number.isInteger(step) ? String(step) : '');
  const marks = lines.flatMap(({ points, colour, dash, name }) => {
    const data = thinned(points, isOverSteps);
    const options = { x: 'x', y: 'y', stroke: colourOf(colour) };
    const say = ({ x, y }: { x: number; y: number }): string =>
      `${name}, ${over} ${isOverSteps ? x : percent(x)}: ${valueText(y, isShare)}`;
    return [
      Plot.lineY(data, {
        ...options,
        strokeWidth: 1.8,
        strokeDasharray: DASHES[dash % DASHES.length] ?? 'none',
      }),
      ...(data.length > DOTTED_UP_TO
        ? []
        : [Plot.dot(data, { ...options, fill: colourOf(colour), r: 2.2, title: say })]),
    ];
  });
  const svg = drawSvg({
    width: 360,
    height: 190,
    marginLeft: 46,
    marginTop: 12,
    marginBottom: 26,
    marginRight: 18,
    x: {
      label: null,
      ticks: 5,
      ...(isOverSteps ? { tickFormat: stepText } : { tickFormat: '~%', domain: [0, 1] }),
    },
    y: { label: null, grid: true, ticks: 5, nice: true, tickFormat: isShare ? '~%' : short },
    marks: [
      ...limits.map(({ value }) => Plot.ruleY([value], { stroke: 'var(--bad)', strokeDasharray: '2 3' })),
      ...marks,
    ],
  });
  return html`<figure class="chart">
    <figcaption>
      <strong>${title}</strong>
      ${lines.map(({ name, colour, dash, points }) => {
        const style = `--c: ${colourOf(colour)}`;
        const last = points.findLast(({ y }) => Number.isFinite(y))?.y;
        return html`<span class="key dash-${dash % DASHES.length}" style="${style}">
          ${name} <b>${last === undefined ? '' : valueText(last, isShare)}</b>
        </span>`;
      })}
      ${limits.map(({ name }) => html`<span class="key limit">${name}</span>`)}
    </figcaption>
    ${drawing(svg, title)}
  </figure>`;
}

/* Where there are more points than can be seen, means of as many in a row as is needed. */
function thinned(points: Line['points'], isWhole: boolean): Line['points'] {
  const size = Math.ceil(points.length / MAX_POINTS);
  if (size <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const some = points.slice(i * size, (i + 1) * size);
    const mean = (key: 'x' | 'y'): number => some.reduce((sum, point) => sum + point[key], 0) / some.length;
    return { x: isWhole ? Math.round(mean('x')) : mean('x'), y: mean('y') };
  });
}

/** An answer's share with its interval. */
export interface Interval {
  group: string;
  name: string;
  colour: number;
  mean: number;
  low: number;
  high: number;
}

/** Draws shares with their intervals: a row for each name, in a field for each group. */
export function drawIntervals(title: string, intervals: readonly Interval[]): Html {
  const [groups, names] = [unique(intervals, 'group'), unique(intervals, 'name')];
  const row = { fy: 'group', y: 'name' };
  const left = marginFor(names);
  const stroke = (one: Interval): string => colourOf(one.colour);
  const svg = drawSvg({
    width: 640,
    height: groups.length * (names.length + 1) * 22 + 40,
    marginLeft: left,
    x: { domain: [0, 1], grid: true, tickFormat: '~%', label: null, insetRight: 44 },
    // The first row is for the group's name.
    y: { domain: ['', ...names], label: null, tickSize: 0, tickFormat: inMargin },
    fy: { domain: groups, axis: null, padding: 0.02 },
    color: { type: 'identity' },
    marks: [
      Plot.text(groups, {
        fy: (group: string) => group,
        y: () => '',
        text: (group: string) => group,
        frameAnchor: 'left',
        dx: -left,
        fontWeight: 600,
      }),
      Plot.ruleY(intervals, { ...row, x1: 'low', x2: 'high', stroke, strokeWidth: 6, strokeOpacity: 0.35 }),
      Plot.dot(intervals, { ...row, x: 'mean', fill: stroke, r: 4.5 }),
      Plot.text(intervals, {
        ...row,
        x: 'high',
        dx: 8,
        textAnchor: 'start',
        text: ({ mean }: Interval) => percent(mean),
      }),
    ],
  });
  return html`<figure class="wide scroll">${drawing(svg, title)}</figure>`;
}

/**
 * Draws how often which class was answered where which was right.
 *
 * @param classes of rows and columns
 * @param others columns of answers that are none of these
 */
export function drawMatrix(
  title: string,
  confusions: Confusions,
  classes: readonly string[],
  others: readonly string[],
): Html {
  const columns = [...classes, ...others];
  const numbers = new Map(classes.map((name, i) => [name, String(i + 1)]));
  const cells = classes.flatMap((label) => {
    const answers = confusions.get(label) ?? new Map<string, number>();
    const all = totalOf(answers);
    const inColumns = groupBy(answers, ([answer]) =>
      columns.includes(answer) ? answer : (others.at(-1) ?? ''),
    );
    return [...inColumns].map(([answer, some]) => {
      const count = some.reduce((sum, [, times]) => sum + times, 0);
      return { label, answer, count, all, share: count / all };
    });
  });
  const size = 15;
  const left = marginFor(classes) + 18;
  const svg = drawSvg({
    width: left + columns.length * size + 40,
    height: classes.length * size + 98,
    marginLeft: left,
    marginTop: 24,
    marginBottom: 74,
    marginRight: 40,
    x: {
      domain: columns,
      axis: null,
      padding: 0.06,
    },
    y: {
      domain: classes,
      label: null,
      padding: 0.06,
      tickSize: 0,
      tickFormat: (name: string) => `${inMargin(name)}  ${numbers.get(name) ?? ''}`,
    },
    color: { type: 'identity' },
    marks: [
      Plot.axisX({
        anchor: 'top',
        tickSize: 0,
        label: null,
        tickFormat: (name: string) => numbers.get(name) ?? '',
      }),
      Plot.axisX(others, { anchor: 'bottom', tickSize: 0, label: null, tickRotate: -90 }),
      Plot.cell(cells, {
        x: 'answer',
        y: 'label',
        fill: ({ label, answer }: (typeof cells)[number]) =>
          label === answer ? 'var(--good)' : 'var(--bad)',
        fillOpacity: ({ share }: (typeof cells)[number]) => 0.15 + 0.85 * share,
        title: ({ label, answer, count, all, share }: (typeof cells)[number]) =>
          `${label} answered as ${answer}: ${count} of ${all} (${percent(share)})`,
      }),
      Plot.frame({ strokeOpacity: 0.2 }),
    ],
  });
  return html`<div class="scroll">${drawing(svg, title)}</div>`;
}

const [CHAR_PIXELS, MAX_CHARS] = [5.6, 40];
const marginFor = (names: readonly string[]): number =>
  14 + Math.ceil(CHAR_PIXELS * Math.max(...names.map((name) => inMargin(name).length)));
const inMargin = (name: string): string =>
  name.length > MAX_CHARS ? `${name.slice(0, MAX_CHARS - 1)}…` : name;

const unique = <T, K extends keyof T>(items: readonly T[], key: K): T[K][] => [
  ...new Set(items.map((item) => item[key])),
];

const valueText = (value: number, isShare: boolean): string => (isShare ? percent(value) : short(value));

const drawing = (svg: string, title: string): Html =>
  html`<div class="svg" role="img" aria-label="${title}">${new Html(svg)}</div>`;
