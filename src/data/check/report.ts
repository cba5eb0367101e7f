import type { CheckReport } from './check.ts';
import type { TokenSummary } from './tokens.ts';

const SHOWN = 3;
const BAR = 40;

/** The report as people read it. */
export function formatReport(report: CheckReport): string {
  return [
    ...formatDatasets(report),
    '',
    `${number(report.rows)} rows, ${number(report.classes)} classes, ${number(report.images)} pictures`,
    ...formatTokens(report),
    '',
    ...formatProblems(report),
    '',
  ].join('\n');
}

const number = (value: number): string => value.toLocaleString('en-GB');

function formatDatasets({ datasets }: CheckReport): string[] {
  const table = [
    ['format', 'rows', 'classes', 'path'],
    ...datasets.map(({ format, rows, classes, path }) => [format, number(rows), number(classes), path]),
  ];
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((line) => line[column]?.length ?? 0)));
  return table.map(([format = '', rows = '', classes = '', path = '']) =>
    [
      format.padEnd(widths[0] ?? 0),
      rows.padStart(widths[1] ?? 0),
      classes.padStart(widths[2] ?? 0),
      path,
    ].join('  '),
  );
}

function formatTokens({ tokens }: CheckReport): string[] {
  const line = (name: string, summary: TokenSummary | null): string[] => {
    if (summary === null) return [];
    const { total, min, median, p95, max } = summary;
    const spread = `${number(min)} to ${number(max)}, median ${number(median)}, 95 % up to ${number(p95)}`;
    return [`${name}: ${number(total)} tokens; a row has ${spread}`];
  };
  const most = Math.max(...tokens.histogram.map(({ rows }) => rows));
  const label = (from: number, to: number): string => `${number(from)} to ${number(to - 1)}`;
  const width = Math.max(...tokens.histogram.map(({ from, to }) => label(from, to).length));
  return [
    ...line('text', tokens.text),
    ...line('pictures', tokens.images),
    ...(tokens.learnt === null ? [] : [`learnt: ${number(tokens.learnt)} tokens`]),
    ...(tokens.text === null ? ['text is not counted: give --model for its tokenizer'] : []),
    ...(tokens.histogram.length === 0 ? [] : [`rows by tokens (the limit is ${number(tokens.cutoff)}):`]),
    ...tokens.histogram.map(
      ({ from, to, rows }) =>
        `  ${label(from, to).padStart(width)}  ${'#'.repeat(Math.ceil((rows / most) * BAR))} ${number(rows)}`,
    ),
  ];
}

function formatProblems({ problems, ok }: CheckReport): string[] {
  const lines = problems.flatMap(({ severity, code, count, where, message }) => [
    `${severity} ${code}: ${number(count)} ${message}`,
    ...where.slice(0, SHOWN).map((place) => `    ${place}`),
    ...(count > SHOWN ? [`    and ${number(count - SHOWN)} more (--json lists all)`] : []),
  ]);
  const end = ok ? 'No errors: it can be used.' : 'There are errors: correct them before a training.';
  return [...lines, ...(lines.length > 0 ? [''] : []), end];
}
