import type { Estimate } from './bootstrap.ts';
import type { Comparison } from './compare.ts';
import type { Pass } from './questions.ts';
import type { Group, PassResult, Results } from './results.ts';

const PASSES: Record<Pass, string> = {
  stored: 'options as stored',
  shuffled: 'options shuffled',
  rotations: 'options in all rotations',
  open: 'open world',
};
const WORST = 10;

/** The results for people: released and strict side by side, each share in percent with its 95 % interval. */
export function formatResults(results: Results, comparison?: Comparison): string {
  return [
    ...results.passes.flatMap(formatPass),
    ...headline(results),
    ...(comparison === undefined ? [] : formatComparison(comparison)),
  ].join('\n');
}

function formatPass({ pass, groups, positions, classes, confusions }: PassResult): string[] {
  const hasSimilarity = groups.some(({ similarity }) => similarity !== undefined);
  const head = ['', 'rows', 'released rule', ...(hasSimilarity ? ['similarity'] : []), 'strict rule'];
  const worst = classes.filter(({ strict }) => strict < 1).slice(0, WORST);
  return [
    PASSES[pass],
    ...table([[...head, 'right form', 'cut'], ...groups.map((group) => groupCells(group, hasSimilarity))]),
    ...(positions.length === 0 ? [] : ['', 'by place of the option']),
    ...table(
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
          ],
    ),
    ...(worst.length === 0 ? [] : ['', 'worst classes, by the strict rule']),
    ...table(
      worst.map(({ set, label, answers, strict }) => [`${set}: ${label}`, String(answers), percent(strict)]),
    ),
    ...(confusions.length === 0 ? [] : ['', 'most frequent confusions']),
    ...table(
      confusions
        .slice(0, WORST)
        .map(({ label, named, count }) => [label, `-> ${named.join(' + ') || '(no class)'}`, String(count)]),
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

/* The two protocols in a line each, as far as their passes were made. */
function headline({ passes, leftOut }: Results): string[] {
  const allOf = (pass: Pass): Group | undefined => passes.find((one) => one.pass === pass)?.groups[0];
  const released = allOf('stored') ?? allOf('open');
  const strict = allOf('rotations') ?? allOf('shuffled') ?? allOf('open');
  const line = (name: string, estimate: Estimate | undefined, otherwise: string): string =>
    `${name.padEnd(9)} ${estimate === undefined ? otherwise : interval(estimate)}`;
  return [
    line('released', released?.released, 'not measured: it asks with the options as stored'),
    line('strict', strict?.strict, 'not measured: it asks with the options shuffled or in all rotations'),
    ...(leftOut.length === 0 ? [] : [`${leftOut.length} rows left out: their pictures cannot be used`]),
    '',
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

/* The first column to the left, numbers to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')}`.trimEnd(),
  );
}
