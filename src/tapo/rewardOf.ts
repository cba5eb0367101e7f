import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { ConfigError, messageOf } from '../common/errors.ts';
import { log } from '../common/log.ts';
import type { TapoConfig } from '../config/tapo.ts';
import type { TripletPrompts } from '../data/triplets.ts';
import { findExploits } from './fuzzer.ts';
import { type Reward, reward, type RewardOptions } from './reward.ts';

/** Rewards a response to a triplet's question. */
export type RewardOf = (text: string, triplet: TripletPrompts) => Promise<Reward>;

/**
 * A reward of one's own: a module's export `reward`. A number is the overall value; a record may say the format and the
 * accuracy too, which the filter goes by.
 */
export type CustomReward = (
  response: string,
  label: string,
  classes: readonly string[],
) => number | Partial<Reward> | Promise<number | Partial<Reward>>;

/**
 * Makes the reward that a config asks for, after the fuzzer has tried it.
 *
 * @param classes all names that an answer could give
 * @throws ConfigError if a module cannot be loaded or has no function `reward`, or pays for what it should not and the
 *   config does not allow that
 */
export async function rewardOf(config: TapoConfig['reward'], classes: readonly string[]): Promise<RewardOf> {
  const { kind, formatWeight, module, allowExploits } = config;
  const custom = module === undefined ? undefined : await loadCustom(module);
  const of = async (text: string, label: string, known: readonly string[]): Promise<Reward> => {
    const options: RewardOptions = {
      formatWeight,
      classes: known,
      kind: kind === 'strict' ? 'strict' : 'released',
    };
    const own = reward(text, label, options);
    if (custom === undefined) return own;
    const given = await custom(text, label, known);
    return typeof given === 'number' ? { ...own, overall: given } : { ...own, ...given };
  };
  const exploits = await findExploits(async (text, label, known) => (await of(text, label, known)).overall);
  const list = exploits.join('; ');
  if (exploits.length > 0 && kind === 'module' && !allowExploits) {
    throw new ConfigError(
      `reward.module: ${module} pays for what it should not: ${list}. Mend it, or set reward.allowExploits: true to train by it all the same.`,
    );
  }
  if (exploits.length > 0) {
    log.warn(
      `The reward (${kind}) pays for: ${list}. The strict accuracy, which does not, is shown beside it.`,
    );
  }
  return async (text, { answer, origin }) => {
    try {
      return await of(text, answer, classes);
    } catch (error) {
      throw new ConfigError(
        `reward.module: ${module ?? ''} throws for a response to ${origin.file}, row ${origin.row} (${JSON.stringify(text.slice(0, 200))}): ` +
          `${messageOf(error)}. It has to give a number for any text.`,
      );
    }
  };
}

async function loadCustom(module: string): Promise<CustomReward> {
  if (!existsSync(module)) throw new ConfigError(`reward.module: there is no file ${module}.`);
  let loaded: Record<string, unknown>;
  try {
    loaded = (await import(pathToFileURL(module).href)) as Record<string, unknown>;
  } catch (error) {
    throw new ConfigError(
      `reward.module: ${module} cannot be loaded: ${messageOf(error)}. TypeScript needs Node 22.18 or tsx; a .js or .mjs file ` +
        'loads everywhere.',
    );
  }
  if (typeof loaded.reward === 'function') return loaded.reward as CustomReward;
  throw new ConfigError(
    `reward.module: ${module} exports ${Object.keys(loaded).join(', ') || 'nothing'}; expected a function \`reward\`.`,
  );
}
