/** How often a class was answered, by the class that was right: label -> answer -> times. */
export type Confusions = Map<string, Map<string, number>>;

/** Answers that are no class. */
export const NONE = '(no class)';
export const SEVERAL = '(several)';

/** Counts an answer. @param named the known classes that it names */
export function addConfusion(confusions: Confusions, label: string, named: readonly string[]): void {
  const [first] = named;
  const answer = first === undefined ? NONE : named.length === 1 ? first : SEVERAL;
  const row = confusions.get(label) ?? new Map<string, number>();
  confusions.set(label, row);
  row.set(answer, (row.get(answer) ?? 0) + 1);
}

/** A class that was answered where another was right. */
export interface Confusion {
  label: string;
  answer: string;
  count: number;
  /** of all answers where the class was right */
  share: number;
}

/** What was confused, the most frequent first. */
export function worstConfusions(confusions: Confusions): Confusion[] {
  return [...confusions]
    .flatMap(([label, answers]) => {
      const all = totalOf(answers);
      return [...answers].map(([answer, count]) => ({ label, answer, count, share: count / all }));
    })
    .filter(({ label, answer }) => label !== answer)
    .sort((a, b) => b.count - a.count || a.label.localeCompare(b.label));
}

/** Of how many answers. */
export const totalOf = (answers: ReadonlyMap<string, number>): number =>
  [...answers.values()].reduce((sum, count) => sum + count, 0);
