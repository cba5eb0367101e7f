/** A question with the names to choose from, as all of the tests and the drawn sets ask. */
export const withOptions = (question: string, options: readonly string[]): string =>
  `${question} options: ${options.join(', ')}.`;
