/** What numbers of tokens are like. */
export interface TokenSummary {
  total: number;
  min: number;
  median: number;
  p95: number;
  max: number;
}

/** Rows with `from` to `to` - 1 tokens. */
export interface TokenBin {
  from: number;
  to: number;
  rows: number;
}

const BINS = 12;

/** Summarises numbers of tokens; undefined where there are none. */
export function summarise(counts: readonly number[]): TokenSummary | undefined {
  const sorted = [...counts].sort((a, b) => a - b);
  const at = (share: number): number | undefined => sorted[Math.floor(share * (sorted.length - 1))];
  const [min, median, p95, max] = [at(0), at(0.5), at(0.95), at(1)];
  if (min === undefined || median === undefined || p95 === undefined || max === undefined) return undefined;
  return { total: sorted.reduce((sum, count) => sum + count, 0), min, median, p95, max };
}

/** Counts rows by their tokens, in at most 13 bins of one round width, from the first that has rows to the last. */
export function histogramOf(counts: readonly number[]): TokenBin[] {
  if (counts.length === 0) return [];
  const [low, high] = counts.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, 0]);
  const width = roundUp((high - low + 1) / BINS);
  const first = Math.floor(low / width);
  const bins = Array.from({ length: Math.floor(high / width) - first + 1 }, (_, i) => ({
    from: (first + i) * width,
    to: (first + i + 1) * width,
    rows: 0,
  }));
  for (const count of counts) {
    const bin = bins[Math.floor(count / width) - first];
    if (bin !== undefined) bin.rows++;
  }
  return bins;
}

/* The next 1, 2 or 5 times a power of ten. */
function roundUp(width: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, width)));
  return power * ([1, 2, 5, 10].find((step) => step * power >= width) ?? 10);
}
