/** The package's entry `finer1/tapo`: rewards, advantages, the filter and the loss, in plain arrays. */
export type { PartialTapoLoss, Variant } from '../config/tapoLoss.ts';
export { type AdvantageOptions, groupAdvantages } from './advantage.ts';
export { type FilterLimits, keepGroup } from './filter.ts';
export { tapoLoss, type TapoLossInputs, type TapoLossOptions, type TapoLossResult } from './loss.ts';
export type { LossMetrics } from './measures.ts';
export { reward, type Reward, type RewardOptions } from './reward.ts';
export type { CustomReward } from './rewardOf.ts';
