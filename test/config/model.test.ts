import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../src/common/errors.ts';
import { type ModelConfig, parseModelConfig } from '../../src/config/model.ts';
import { GOLDENS } from '../support/safetensors.ts';

type Json = Record<string, unknown>;

const read = (model: string): Json =>
  JSON.parse(readFileSync(new URL(`model/${model}/config.json`, GOLDENS), 'utf8')) as Json;
const FLAT = read('tiny-a');
const NESTED = read('tiny-a-newnames');
const parse = (json: unknown): ModelConfig => parseModelConfig(json, 'm/config.json');
/* The configuration with other fields; undefined drops one. */
const flatWith = (fields: Json): Json => JSON.parse(JSON.stringify({ ...FLAT, ...fields })) as Json;
const inPart = (json: Json, part: string, fields: Json): Json =>
  JSON.parse(JSON.stringify({ ...json, [part]: { ...(json[part] as Json), ...fields } })) as Json;

function messageOfWrong(json: unknown): string {
  try {
    parse(json);
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return (error as Error).message;
  }
  throw new Error('It was taken for right.');
}

describe('parseModelConfig', () => {
  it('reads the released form', () => {
    expect(parse(FLAT)).toEqual({
      vision: {
        depth: 4,
        hiddenSize: 32,
        intermediateSize: 84,
        numHeads: 2,
        inChannels: 3,
        outHiddenSize: 64,
        patchSize: 14,
        spatialMergeSize: 2,
        temporalPatchSize: 2,
        windowSize: 112,
        fullAttentionBlocks: [1, 3],
      },
      text: {
        hiddenSize: 64,
        numLayers: 4,
        numHeads: 4,
        numKeyValueHeads: 2,
        headDim: 16,
        intermediateSize: 128,
        vocabSize: 1000,
        rmsNormEps: 1e-6,
        ropeTheta: 1e6,
        mropeSection: [2, 3, 3],
      },
      imageTokenId: 990,
      videoTokenId: 991,
      visionStartTokenId: 987,
      visionEndTokenId: 988,
      tieWordEmbeddings: true,
    });
  });

  it('reads the nested form of transformers 5 alike', () => {
    expect(parse(NESTED)).toEqual(parse(FLAT));
  });

  it('reads tie_word_embeddings from the model, from its text, or from neither', () => {
    const without = flatWith({ tie_word_embeddings: undefined });
    expect(parse(without).tieWordEmbeddings).toBeUndefined();
    expect(parse(flatWith({ tie_word_embeddings: false })).tieWordEmbeddings).toBe(false);
    const ofText = inPart(NESTED, 'text_config', { tie_word_embeddings: false });
    expect(parse({ ...ofText, tie_word_embeddings: null }).tieWordEmbeddings).toBe(false);
    expect(parse(ofText).tieWordEmbeddings).toBe(true);
  });

  it('takes rope_theta from the rotary parameters, from beside them, or 1e6', () => {
    const theta = (json: unknown): number => parse(json).text.ropeTheta;
    const section = { mrope_section: [2, 3, 3] };
    expect(theta(flatWith({ rope_theta: 5e5 }))).toBe(5e5);
    expect(theta(flatWith({ rope_theta: undefined }))).toBe(1e6);
    expect(theta(flatWith({ rope_scaling: null, rope_parameters: { ...section, rope_theta: 7e5 } }))).toBe(
      7e5,
    );
  });

  it('takes in_channels, or in_chans', () => {
    const channels = (fields: Json): number => parse(inPart(FLAT, 'vision_config', fields)).vision.inChannels;
    expect(channels({ in_chans: 4 })).toBe(4);
    expect(channels({ in_chans: 4, in_channels: 5 })).toBe(5);
    expect(channels({ in_chans: undefined })).toBe(3);
  });

  it('says which other model it is', () => {
    expect(messageOfWrong({ model_type: 'qwen2_vl' })).toMatch(
      /m\/config\.json: model_type is "qwen2_vl", expected "qwen2_5_vl".*Qwen2\.5-VL \(Fine-R1\)/,
    );
    expect(messageOfWrong({})).toContain('model_type is missing');
    expect(messageOfWrong(null)).toContain('model_type is missing');
  });

  it('names every field that is missing or of a wrong kind', () => {
    const message = messageOfWrong(
      inPart(flatWith({ vocab_size: undefined, num_hidden_layers: '36' }), 'vision_config', { depth: 0 }),
    );
    expect(message).toContain('m/config.json');
    for (const field of ['vocab_size', 'num_hidden_layers', 'vision_config.depth']) {
      expect(message).toContain(field);
    }
    expect(messageOfWrong(inPart(NESTED, 'text_config', { hidden_size: -1 }))).toContain(
      'text_config.hidden_size',
    );
  });

  it.each([
    ['heads that do not divide the width', flatWith({ num_attention_heads: 3 }), 'num_attention_heads, 3'],
    [
      'key-value heads that do not divide the heads',
      flatWith({ num_key_value_heads: 3 }),
      'num_key_value_heads, 3',
    ],
    [
      'a section that is not half a head',
      flatWith({ rope_scaling: { type: 'mrope', mrope_section: [2, 3, 4] } }),
      'mrope_section (of rope_scaling or rope_parameters) is [2, 3, 4], expected three numbers that add up to half a head, 8',
    ],
    ['no section', flatWith({ rope_scaling: undefined }), 'is missing, expected three numbers'],
    [
      'another kind of rotary positions',
      flatWith({ rope_scaling: { type: 'yarn', mrope_section: [2, 3, 3] } }),
      'rope_scaling.type',
    ],
    [
      'an encoder of another width',
      inPart(FLAT, 'vision_config', { out_hidden_size: 128 }),
      "vision_config.out_hidden_size is 128, expected the decoder's hidden_size, 64",
    ],
    [
      'an encoder whose heads do not turn by two axes',
      inPart(FLAT, 'vision_config', { num_heads: 16 }),
      'expected a multiple of 4 * num_heads, 64',
    ],
    [
      'a window smaller than a token',
      inPart(FLAT, 'vision_config', { window_size: 14 }),
      'vision_config.window_size is 14',
    ],
    ['sliding windows', flatWith({ use_sliding_window: true }), 'use_sliding_window'],
  ])('refuses %s', (_, json, expected) => {
    const message = messageOfWrong(json);
    expect(message).toContain('m/config.json is wrong');
    expect(message).toContain(expected);
  });

  it('names several fields that do not fit together', () => {
    const message = messageOfWrong(
      inPart(flatWith({ num_key_value_heads: 3 }), 'vision_config', { out_hidden_size: 1 }),
    );
    expect(message).toContain('num_key_value_heads');
    expect(message).toContain('out_hidden_size');
  });
});
