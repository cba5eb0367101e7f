import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { describeSeconds, startProgress } from '../../src/common/progress.ts';

describe('startProgress where stderr is no terminal', () => {
  const isTTY = process.stderr.isTTY;
  let written: string;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
    process.stderr.isTTY = false;
    written = '';
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      written += String(text);
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
    process.stderr.isTTY = isTTY;
  });

  it('says every ten seconds how much is done, and how long the rest takes', () => {
    using progress = startProgress('Asking', 100, 'questions');
    for (let done = 1; done <= 25; done++) {
      vi.advanceTimersByTime(1000);
      progress.update(done);
    }
    expect(written).toBe(
      'Asking 10/100 questions | 1 min 30 s left\nAsking 20/100 questions | 1 min 20 s left\n',
    );
  });

  it('says nothing of what is done in less', () => {
    using progress = startProgress('Unpacking', 4, 'MiB');
    for (const done of [0, 1, 4]) progress.update(done);
    expect(written).toBe('');
  });
});

describe('describeSeconds', () => {
  it.each([
    [0.4, '0 s'],
    [59.6, '1 min 00 s'],
    [125, '2 min 05 s'],
    [3900, '1 h 05 min'],
  ])('%d', (seconds, text) => {
    expect(describeSeconds(seconds)).toBe(text);
  });
});
