import { expect, it } from 'vitest';
import { ConfigError } from '../../../src/common/errors.ts';
import { parseRuntimeConfig, type RuntimeOptions } from '../../../src/config/runtime.ts';
import { encodeConfig } from '../../../src/runtime/tensorflow/options.ts';
import { decodeMessage, encodeMessage } from '../../../src/runtime/tensorflow/protobuf.ts';
import { runModule } from '../../support/child.ts';

const bytes = (value: number | Uint8Array | undefined): Uint8Array => value as Uint8Array;
const fieldsOf = (message: Uint8Array): Map<number, number | Uint8Array> => new Map(decodeMessage(message));

it('encodes what protobuf decodes', () => {
  const message = encodeMessage([
    [1, 300],
    [2, true],
    [150, Uint8Array.of(1, 2)],
  ]);
  // 300 is the specification's own example of a varint.
  expect([...message]).toEqual([0x08, 0xac, 0x02, 0x10, 0x01, 0xb2, 0x09, 0x02, 1, 2]);
  expect(decodeMessage(message)).toEqual([
    [1, 300],
    [2, 1],
    [150, Uint8Array.of(1, 2)],
  ]);
});

it('says threads and GPU memory in a ConfigProto', () => {
  const plain = fieldsOf(encodeConfig(parseRuntimeConfig({ threads: 3 })));
  expect(plain.get(2)).toBe(3);
  expect(fieldsOf(bytes(plain.get(6))).get(4)).toBe(1); // allow_growth

  const limited = fieldsOf(encodeConfig(parseRuntimeConfig({ gpuMemoryLimitMiB: 1024 })));
  const gpu = fieldsOf(bytes(limited.get(6)));
  expect(gpu.get(4)).toBe(0);
  const virtualDevices = fieldsOf(bytes(fieldsOf(bytes(gpu.get(9))).get(1)));
  expect(Buffer.from(bytes(virtualDevices.get(1))).readFloatLE()).toBe(1024);
});

it('says which option is wrong', () => {
  const wrong = { threads: -1, gpu: true } as unknown as RuntimeOptions;
  expect(() => parseRuntimeConfig(wrong)).toThrow(ConfigError);
  expect(() => parseRuntimeConfig(wrong)).toThrow(/threads/);
  expect(() => parseRuntimeConfig(wrong)).toThrow(/"gpu"/);
});

it('refuses other options once TensorFlow runs in the process', async () => {
  const { stdout } = await runModule(`
    import { registerTensorFlowBackend } from './src/runtime/index.ts';
    registerTensorFlowBackend({ threads: 1 });
    registerTensorFlowBackend({ threads: 1 });
    try { registerTensorFlowBackend({ threads: 2 }); } catch (error) { console.log(error.message); }
  `);
  expect(stdout).toContain('with threads = 1, which cannot be changed to 2 any more');
});
