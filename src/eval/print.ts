import type { Settings } from './answers.ts';
import type { Estimate } from './bootstrap.ts';
import type { Comparison } from './compare.ts';
import type { PositionShare } from './options.ts';
import type { Pass } from './questions.ts';
import type { Group, MEASURES, PassResult, Refusal, Results } from './results.ts';
import type { Calibration, Trial } from './riskCoverage.ts';

const PASSES: Record<Pass, string> = {
  stored: 'options as stored',
  shuffled: 'options shuffled',
  rotations: 'options in all rotations',
  classify: 'options shuffled, as candidates of finer1 classify',
  open: 'open world',
};
type Measure = keyof typeof MEASURES;
const RULES: Record<Measure, string> = {
  released: 'the label occurs in the answer',
  similarity: "SigLIP's similarity over that of the coarse word",
  strict: 'exactly one class is named, the right one',
};
const WORST = 10;
const MANY = 0.5;

/** The results for people: released and strict side by side, each share in percent with its 95 % interval. */
export function formatResults(results: Results, comparison?: Comparison): string {
  return [
    ...results.passes.flatMap(formatPass),
    ...headline(results),
    ...(comparison === undefined ? [] : formatComparison(comparison)),
  ].join('\n');
}

function formatPass({ pass, groups, positions, classes, confusions, refusal }: PassResult): string[] {
  const hasSimilarity = groups.some(({ similarity }) => similarity !== undefined);
  const head = ['', 'rows', 'released rule', ...(hasSimilarity ? ['similarity'] : []), 'strict rule'];
  const worst = classes.filter(({ strict }) => strict < 1).slice(0, WORST);
  return [
    PASSES[pass],
    ...table([[...head, 'right form', 'cut'], ...groups.map((group) => groupCells(group, hasSimilarity))]),
    ...section('by place of the option', positionRows(positions)),
    ...(refusal === undefined ? [] : formatRefusal(refusal)),
    ...section(
      'worst classes, by the strict rule',
      worst.map(({ set, label, answers, strict }) => [`${set}: ${label}`, String(answers), percent(strict)]),
    ),
    ...section(
      'most frequent confusions',
      confusions
        .slice(0, WORST)
        .map(({ label, named, count }) => [label, `-> ${named.join(' + ') || '(no class)'}`, String(count)]),
      2,
    ),
    '',
  ];
}

const groupCells = (group: Group, hasSimilarity: boolean): string[] => [
  group.name,
  String(group.rows),
  interval(group.released),
  ...(hasSimilarity && group.similarity !== undefined ? [interval(group.similarity)] : []),
  interval(group.strict),
  percent(group.wellFormed),
  percent(group.truncated),
];

const positionRows = (positions: readonly PositionShare[]): string[][] =>
  positions.length === 0
    ? []
    : [
        ['place', 'truths', 'strictly right', 'share of answers'],
        ...positions.map(({ position, truths, accuracy, answered }) => [
          String(position),
          String(truths),
          accuracy === undefined ? '' : percent(accuracy),
          percent(answered),
        ]),
      ];

/* Of the curve, the points that answer about so much. */
const COVERAGES = [1, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];

function formatRefusal({ curve, calibration }: Refusal): string[] {
  const points = COVERAGES.map((coverage) => curve.find((point) => point.coverage <= coverage));
  const shown = [...new Set(points)].filter((point) => point !== undefined);
  return [
    ...section('refusing what is less probable (finer1 classify --min-probability)', [
      ['answered', 'wrong of these', '--min-probability'],
      ...shown.map(({ threshold, coverage, risk }) => [percent(coverage), percent(risk), String(threshold)]),
    ]),
    ...(calibration === undefined ? [] : ['', ...formatCalibration(calibration)]),
  ];
}

function formatCalibration({ maxRisk, chosen, held }: Calibration): string[] {
  const wish = `at most ${percent(maxRisk)} % wrong`;
  if (chosen === undefined) return [`  ${wish}: no --min-probability keeps it`];
  const gives = ({ coverage, risk }: Trial): string =>
    `answers ${percent(coverage)} %, wrong of these ${risk === undefined ? 'none' : interval(risk)}`;
  return [
    `  ${wish}: --min-probability ${chosen.threshold} ${gives(chosen)}`,
    held === undefined
      ? '  chosen on half of the rows, there is none: give more rows'
      : `  chosen on half of the rows, and tried on the other half, it ${gives(held)}`,
  ];
}

/* The two protocols in a line each, as far as their passes were made. */
function headline({ settings, passes, leftOut }: Results): string[] {
  const isOpen = passes.some(({ pass }) => pass === 'open');
  const first = (...names: Pass[]): PassResult | undefined =>
    names.map((name) => passes.find(({ pass }) => pass === name)).find((pass) => pass !== undefined);
  const line = (name: string, from: PassResult | undefined, measure: Measure, otherwise: string): string => {
    const estimate = from?.groups[0]?.[measure];
    return from === undefined || estimate === undefined
      ? `${name.padEnd(10)} not measured: ${otherwise}`
      : `${name.padEnd(10)} ${interval(estimate)} (${PASSES[from.pass]}; ${RULES[measure]})`;
  };
  return [
    line('released', first('stored', 'open'), 'released', 'it asks with the options as stored'),
    ...(isOpen ? [line('similarity', first('open'), 'similarity', 'give a SigLIP by --siglip')] : []),
    line(
      'strict',
      first('rotations', 'shuffled', 'open'),
      'strict',
      'it asks with the options shuffled or in all rotations',
    ),
    ...promptHint(settings, passes),
    ...(leftOut.length === 0 ? [] : [`${leftOut.length} rows left out: their pictures cannot be used`]),
    '',
  ];
}

/* A model that was trained on other prompts answers nothing that can be judged. */
function promptHint({ prompt }: Settings, passes: readonly PassResult[]): string[] {
  const formed = Math.max(...passes.map(({ groups }) => groups[0]?.wellFormed ?? 0));
  const other = prompt === 'released' ? 'plain' : 'released';
  return formed >= MANY
    ? []
    : [
        `Only ${percent(formed)} % of the responses have the right form: was the model trained on other prompts? ` +
          `This asked with --prompt ${String(prompt)}; try --prompt ${other}.`,
      ];
}

const formatComparison = ({ folder, differences, passes }: Comparison): string[] => [
  `difference from ${folder}, in points (positive: better here), by the paired bootstrap`,
  ...differences.map((one) => `  asked otherwise: ${one}`),
  ...table([
    ['', 'rows of both', 'released rule', 'strict rule', 'similarity'],
    ...passes.map(({ pass, rows, released, strict, similarity }) => [
      PASSES[pass],
      String(rows),
      interval(released),
      interval(strict),
      similarity === undefined ? '' : interval(similarity),
    ]),
  ]),
  '',
];

const percent = (share: number): string => (100 * share).toFixed(1);
const interval = ({ mean, low, high }: Estimate): string =>
  `${percent(mean)} (${percent(low)} to ${percent(high)})`;

const section = (title: string, rows: readonly (readonly string[])[], texts = 1): string[] =>
  rows.length === 0 ? [] : ['', title, ...table(rows, texts)];

/* The first columns, `texts` of them, to the left, numbers to the right. */
function table(rows: readonly (readonly string[])[], texts = 1): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const pad = (cell: string, i: number): string =>
    i < texts ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
  return rows.map((row) => `  ${row.map(pad).join('  ')}`.trimEnd());
}
