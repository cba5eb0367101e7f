import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfigFile } from '../../src/config/file.ts';
import { sftSchema } from '../../src/config/sft.ts';
import { DEFAULT_OPTIONS } from '../../src/data/synthetic/plan.ts';
import { writeSyntheticSet } from '../../src/data/synthetic/write.ts';
import { trainSft } from '../../src/sft/trainer.ts';

/*
 * What a person gets who gives something broken to `finer1 sft`: where it is, what was found, what to do. `F` is the folder
 * of the test.
 */

interface Row {
  messages: { role: string; content: string }[];
  images: string[];
}

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'finer1-bad-'));
const [birds, output, model] = ['birds', 'run', 'model'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];
const ROWS = join(birds, 'rows.json');
let good: Row[];
let png: Buffer;

beforeAll(async () => {
  await writeSyntheticSet(birds, { ...DEFAULT_OPTIONS, difficulty: 'easy', testPictures: 4 });
  good = (JSON.parse(readFileSync(join(birds, 'sft.json'), 'utf8')) as Row[]).slice(0, 4);
  png = readFileSync(join(birds, good[0]?.images[0] as string));
  // What was in the folder of the run before.
  mkdirSync(output);
  writeFileSync(join(output, 'notes.txt'), 'precious');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Trains, and gives what is thrown. */
async function messageOf(set: readonly string[]): Promise<string> {
  try {
    const config = loadConfigFile(path('configs/tiny-sft.yaml'), sftSchema, [
      `output=${output}`,
      `data.train=[${ROWS}]`,
      'data.validation=null',
      'validation=null',
      'steps=1',
      'batch.rowsPerStep=4',
      'batch.rowsPerMicroBatch=4',
      ...set,
    ]);
    await trainSft(config, { resume: false });
  } catch (error) {
    return (error as Error).message.replaceAll(folder, 'F');
  } finally {
    expect(readFileSync(join(output, 'notes.txt'), 'utf8')).toBe('precious');
  }
  return 'nothing was thrown';
}

const second = (change: (row: Row) => unknown): string => {
  const rows = structuredClone(good);
  change(rows[1] as Row);
  return JSON.stringify(rows);
};
const IN_ROW_2 = 'F/birds/rows.json, row 2';

describe('rows', () => {
  it.each<[string, () => string, string]>([
    [
      'an empty file',
      () => '',
      'F/birds/rows.json is no JSON: Unexpected end of JSON input. It may be cut short, or damaged by an editor.',
    ],
    ['a file that is cut', () => JSON.stringify(good).slice(0, 500), 'F/birds/rows.json is no JSON: '],
    [
      'no list',
      () => '{"a": 1}',
      'F/birds/rows.json holds one object; an array of rows was expected: [{...}, ...].',
    ],
    ['no rows', () => '[]', 'F/birds/rows.json has no rows.'],
    [
      'no messages',
      () => second((row) => delete (row as Partial<Row>).messages),
      `${IN_ROW_2}, field messages: expected array; found nothing. Correct the row, or leave it out.`,
    ],
    [
      'a text as messages',
      () => second((row) => Object.assign(row, { messages: 'hi' })),
      `${IN_ROW_2}, field messages: expected array; found "hi". Correct the row, or leave it out.`,
    ],
    [
      'an unknown role',
      () => second(({ messages: [turn] }) => Object.assign(turn as object, { role: 'usr' })),
      `${IN_ROW_2}, field messages.0.role: expected system, user (or human) or assistant (or gpt); found "usr". Correct the row, or leave it out.`,
    ],
    [
      'a number as text',
      () => second(({ messages: [turn] }) => Object.assign(turn as object, { content: 3 })),
      `${IN_ROW_2}, field messages.0.content: expected string; found 3. Correct the row, or leave it out.`,
    ],
    [
      'no answer',
      () => second(({ messages }) => messages.pop()),
      `${IN_ROW_2}: the turns are user; expected a system turn or none, then user and assistant in turn, the last one the assistant's.`,
    ],
    [
      'more marks than pictures',
      () => second(({ messages: [turn] }) => Object.assign(turn as object, { content: '<image><image>?' })),
      `${IN_ROW_2}: the messages have 2 <image> marks, but images lists 1 pictures. Put one mark where each picture stands.`,
    ],
    [
      'more pictures than marks',
      () => second(({ images }) => images.push(images[0] as string)),
      `${IN_ROW_2}: the messages have 1 <image> marks, but images lists 2 pictures. Put one mark where each picture stands.`,
    ],
    [
      'a number as a picture',
      () => second((row) => Object.assign(row, { images: [3] })),
      `${IN_ROW_2}, field images: expected a list of pictures' paths; found [3]. Correct the row, or leave it out.`,
    ],
  ])('%s', async (_, text, message) => {
    writeFileSync(ROWS, text());
    expect(await messageOf([])).toContain(message);
  });
});

describe('pictures', () => {
  const svg = (width: number, height: number): string =>
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"/>`;
  it.each<[string, () => string | Buffer | undefined, string]>([
    [
      'missing.png',
      () => undefined,
      'Input file is missing: F/birds/images/missing.png. Replace it, or leave its row out.',
    ],
    [
      'empty.png',
      () => '',
      'Input file contains unsupported image format. Replace it, or leave its row out.',
    ],
    [
      'text.png',
      () => 'hello',
      'Input file contains unsupported image format. Replace it, or leave its row out.',
    ],
    [
      'cut-header.png',
      () => png.subarray(0, 20),
      'Input file has corrupt header. Replace it, or leave its row out.',
    ],
    [
      'bomb.svg',
      () => svg(60_000, 60_000),
      'Input image exceeds pixel limit. Replace it, or leave its row out.',
    ],
    [
      'narrow.svg',
      () => svg(3000, 10),
      'A picture of 3000 x 10 pixels is too narrow: one side may be at most 200 times the other, here it is 300.0 times. Crop it.',
    ],
  ])('%s', async (name, content, message) => {
    const bytes = content();
    if (bytes !== undefined) writeFileSync(join(birds, 'images', name), bytes);
    writeFileSync(
      ROWS,
      second((row) => (row.images = [`images/${name}`])),
    );
    expect(await messageOf([])).toContain(
      `1 of 4 rows cannot be used:\n${IN_ROW_2}: F/birds/images/${name} cannot be used as a picture: ${message}`,
    );
  });

  it('a picture that is cut behind its header, when it is read', async () => {
    writeFileSync(join(birds, 'images', 'cut.png'), png.subarray(0, 200));
    writeFileSync(
      ROWS,
      second((row) => (row.images = ['images/cut.png'])),
    );
    expect(await messageOf([])).toContain('F/birds/images/cut.png cannot be used as a picture: ');
  });
});

describe('checkpoints', () => {
  const edit = (name: string, change: (json: Record<string, unknown>) => unknown): void => {
    const file = join(model, name);
    const json = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    change(json);
    writeFileSync(file, JSON.stringify(json));
  };
  it.each<[string, () => unknown, string]>([
    [
      'no config.json',
      () => rmSync(join(model, 'config.json')),
      'F/model/config.json cannot be read: ENOENT: no such file or directory',
    ],
    [
      'a config.json that is cut',
      () => writeFileSync(join(model, 'config.json'), '{"model_type"'),
      "F/model/config.json cannot be read: Expected ':' after property name in JSON at position 13",
    ],
    [
      'another kind of model',
      () => edit('config.json', (json) => (json.model_type = 'llama')),
      'F/model/config.json: model_type is "llama", expected "qwen2_5_vl": only Qwen2.5-VL (Fine-R1) works. Give the folder of such a model.',
    ],
    [
      'no hidden_size',
      () => edit('config.json', (json) => delete json.hidden_size),
      'F/model/config.json is wrong; is it the config.json of this checkpoint?',
    ],
    [
      'another hidden_size',
      () => edit('config.json', (json) => (json.hidden_size = 64)),
      "vision_config.out_hidden_size is 128, expected the decoder's hidden_size, 64",
    ],
    [
      'a shard that is missing',
      () => rmSync(join(model, 'model-00002-of-00003.safetensors')),
      'is in model-00002-of-00003.safetensors, but there is no such file. Fetch it.',
    ],
    [
      'a shard that is cut',
      () => truncateSync(join(model, 'model-00002-of-00003.safetensors'), 5000),
      'F/model/model-00002-of-00003.safetensors ends at byte 5000, within ',
    ],
    [
      'a header that is damaged',
      () => {
        const file = join(model, 'model-00001-of-00003.safetensors');
        writeFileSync(file, readFileSync(file).fill(0x41, 8, 60));
      },
      'The header of F/model/model-00001-of-00003.safetensors is not JSON',
    ],
    [
      'an index of another checkpoint',
      () =>
        edit(
          'model.safetensors.index.json',
          ({ weight_map }) => delete (weight_map as Record<string, string>)['model.norm.weight'],
        ),
      'The index and the file belong to different checkpoints:',
    ],
    [
      'no tokenizer.json',
      () => rmSync(join(model, 'tokenizer.json')),
      'F/model/tokenizer.json cannot be read (ENOENT',
    ],
  ])('%s', async (_, damage, message) => {
    rmSync(model, { recursive: true, force: true });
    cpSync(path('models/tiny-base'), model, { recursive: true });
    writeFileSync(ROWS, JSON.stringify(good));
    damage();
    expect(await messageOf([`model=${model}`])).toContain(message);
  });
});

describe('settings', () => {
  it.each([
    [
      'model=/nowhere/at/all',
      'There is no folder /nowhere/at/all, and it is no hub id (owner/name) either. Give one of the two.',
    ],
    ["freeze=['nothing.*']", 'freeze: nothing.* matches no weight. Names are as released, such as '],
    ["freeze=['.*']", 'freeze: .* leaves nothing to train. Take a pattern out.'],
    ['data.cutoffTokens=10', 'None of the 4 rows has at most 10 tokens; the longest has '],
    [
      'lora={targetModules: [nope]}',
      'No linear layer of the model is named by the adapter\'s targets ["nope"]. Name modules such as q_proj, v_proj, gate_proj.',
    ],
    ['optimiser.learningrate=1', 'learningRate'],
    ['batch.rowsPerMicroBatch=8', '8 is more than rowsPerStep, 4; give at most that.'],
    ['steps=zero', 'steps'],
  ])('%s', async (setting, message) => {
    writeFileSync(ROWS, JSON.stringify(good));
    expect(await messageOf([setting])).toContain(message);
  });
});
