import { describe, expect, it } from 'vitest';
import { type Screen, startTrainingProgress } from '../../../src/train/run/progress.ts';

function recorder(isTTY: boolean): Screen & { text: () => string } {
  let text = '';
  return { isTTY, write: (more) => (text += more), text: () => text };
}

describe('startTrainingProgress', () => {
  it('prints few plain lines where there is no terminal: the first and the last step at least', () => {
    const screen = recorder(false);
    using progress = startTrainingProgress('sft', 100, screen);
    for (let step = 1; step <= 100; step++) progress.step({ step, loss: 2 / step, tokens: 10 });
    const lines = screen.text().split('\n').slice(0, -1);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^sft {3}1\/100 \| loss 2\.0000 \| \d+ tokens\/s \| \d+ s left$/);
    expect(lines[1]).toMatch(/^sft 100\/100 \| loss 0\.0200 \| \d+ tokens\/s \| 0 s left$/);
  });

  it('writes one line anew on a terminal, and ends it', () => {
    const screen = recorder(true);
    {
      using progress = startTrainingProgress('sft', 2, screen);
      progress.step({ step: 1, loss: 1, tokens: 10 });
      progress.step({ step: 2, loss: 1, tokens: 10 });
    }
    expect(screen.text().split('\r\x1b[2K')).toHaveLength(2);
    expect(screen.text()).toMatch(/^sft 1\/2 [^\n]*sft 2\/2 [^\n]*\n$/);
  });

  it('shows what a step under way does on a terminal only', async () => {
    const [terminal, log] = [recorder(true), recorder(false)];
    for (const screen of [terminal, log]) {
      using progress = startTrainingProgress('tapo', 2, screen);
      progress.during('drawing responses: 10 tokens, 100 tokens/s');
      await new Promise((resolve) => setTimeout(resolve, 110));
      progress.step({ step: 1, loss: 1, tokens: 10, more: 'right 50.0 %' });
    }
    const [first, second] = terminal.text().split('\r\x1b[2K');
    expect(first).toBe('tapo drawing responses: 10 tokens, 100 tokens/s');
    expect(second).toMatch(/^tapo 1\/2 \| loss 1\.0000 \| right 50\.0 % \| /);
    expect(log.text()).not.toContain('drawing');
  });

  it('tells the speed and the time that is left', async () => {
    const screen = recorder(false);
    using progress = startTrainingProgress('sft', 601, screen);
    await new Promise((resolve) => setTimeout(resolve, 100));
    progress.step({ step: 1, loss: 1, tokens: 1000 });
    const [, speed, left] = /(\d+) tokens\/s \| (\d+) min/.exec(screen.text()) ?? [];
    // 1000 tokens in 100 ms or, on a busy machine, up to twice that; 600 steps are left.
    expect(Number(speed)).toBeGreaterThan(5000);
    expect(Number(speed)).toBeLessThanOrEqual(10_100);
    expect([1, 2]).toContain(Number(left));
  });

  it('closes with a table that counts the warnings', () => {
    const screen = recorder(false);
    using progress = startTrainingProgress('sft', 2, screen);
    progress.warnOnce('skipped steps', 'Step 1 is skipped: its loss is not finite.');
    progress.warnOnce('skipped steps', 'Step 2 is skipped: its loss is not finite.');
    progress.close([['steps', '2']]);
    expect(screen.text()).toBe('  steps          2\n  skipped steps  2 times (warning)\n');
  });
});
