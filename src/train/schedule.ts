/** How the learning rate goes over a training. */
export interface Schedule {
  kind: 'cosine' | 'linear' | 'constant';
  /** steps in which it rises from 0 to its peak */
  warmupSteps: number;
}

/**
 * The learning rate of a step, as transformers' schedulers have it: it rises in a line from 0, then falls to 0 along
 * half a cosine, along a line, or not at all.
 *
 * @param step from 0
 * @param totalSteps of the training
 */
export function learningRateAt(
  step: number,
  peak: number,
  { kind, warmupSteps }: Schedule,
  totalSteps: number,
): number {
  if (step < warmupSteps) return (peak * step) / Math.max(1, warmupSteps);
  if (kind === 'constant') return peak;
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  const share = kind === 'cosine' ? 0.5 * (1 + Math.cos(Math.PI * progress)) : 1 - progress;
  return peak * Math.max(0, share);
}
