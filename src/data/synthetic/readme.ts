import { FAMILIES, valuesOf } from './birds.ts';
import { type SetPlan, SHOTS, type SyntheticOptions } from './plan.ts';

/** The set's `README.md`: how it was made, and what its files hold. */
export function readmeOf(plan: SetPlan, options: SyntheticOptions): string {
  const { seed, difficulty, size, confusion, testPictures } = options;
  const { parts, variation } = FAMILIES[difficulty];
  const seen = plan.classes.filter((kind) => kind.seen).length;
  const unseen = plan.classes.filter((kind) => !kind.seen && kind.pictures.test > 0).length;
  const wrong = plan.sft.filter(
    ({ messages, truth }) => !(messages[1]?.content ?? '').endsWith(`<answer>${truth}</answer>`),
  ).length;
  return `# Drawn birds

Made by

    finer1 data synthetic --out DIR --seed ${seed} --difficulty ${difficulty} --size ${size} --confusion ${confusion} --test-pictures ${testPictures}

The same command makes the same files, byte for byte (with the same versions of finer1 and sharp). Nothing in here was
photographed or written by a person.

${plan.classes.length} kinds of birds differ in ${parts.map((part) => `${part} (${valuesOf(part).join(', ')})`).join(', ')}.
A name follows from what a bird looks like, e.g. "${plan.classes[0]?.name ?? ''}", so a kind without training pictures can be
named too. ${seen} kinds are seen: ${SHOTS} training pictures each. ${unseen} are unseen: test pictures only, and their
names occur in no training text. The others have no pictures; they occur as candidates and options.
Pictures are ${size}x${size} pixels and differ in turn, side, scale, place, ground, light, tint and noise (strength ${variation});
a twig crosses half of them.

| file | rows | what |
| --- | --- | --- |
| \`sft.json\` | ${plan.sft.length} | conversations with a rationale; \`truth\` is what was drawn |
| \`triplets.jsonl\` | ${plan.triplets.length} | \`images\`, another picture of the kind (\`image_noisy\`), one of a kind that differs in one part (\`image_aug\`) |
| \`eval_seen.jsonl\`, \`eval_unseen.jsonl\` | ${plan.evalSeen.length}, ${plan.evalUnseen.length} | test questions; any two of the four options differ in one or two parts; their order is random |
| \`classes.json\` | ${plan.classes.length} | the kinds |
| \`images/\` | ${plan.pictures.length} | \`train/KIND/\` and \`test/KIND/\`, with \`seen.txt\` and \`unseen.txt\` |

Every second question of \`sft.json\` and \`triplets.jsonl\` lists four names to choose from.

The rationales are those of a describer who errs, as a real teacher does: orange caps are read as red with a probability of
${confusion}, and forked tails as long, each for itself. ${wrong} of the ${plan.sft.length} rationales name the wrong kind. \`triplets.jsonl\` and the
test questions know the truth.
`;
}
