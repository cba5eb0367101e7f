import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** Ends the output with the counts in one line, after the skipped tests by name and reason. */
export default class Summary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const inState = (state: string): TestCase[] => tests.filter((test) => test.result().state === state);
    for (const test of inState('skipped')) {
      const result = test.result();
      console.log(`skipped: ${test.fullName}${'note' in result && result.note ? ` (${result.note})` : ''}`);
    }
    // A file that does not load, or an error outside of a test, fails too.
    const broken = modules.filter((module) => module.errors().length > 0).length + errors.length;
    const failed = inState('failed').length + broken;
    console.log(`${inState('passed').length} passed, ${failed} failed`);
  }
}
