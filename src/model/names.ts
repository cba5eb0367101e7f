import type { ModelConfig } from '../config/model.ts';

/**
 * The released name (`visual.*`, `model.*`, `lm_head.weight`) of a parameter that may be named as transformers 5 names
 * it (`model.visual.*`, `model.language_model.*`).
 */
export function toReleasedName(name: string): string {
  return name.replace(/^model\.visual\./, 'visual.').replace(/^model\.language_model\./, 'model.');
}

/** The name that transformers 5 gives the parameter or module of a released name. */
export function toTransformersName(name: string): string {
  return name.replace(/^model\./, 'model.language_model.').replace(/^visual\./, 'model.visual.');
}

/** The released name of the head, and of the embedding that it may be tied to. */
export const HEAD = 'lm_head.weight';
export const EMBEDDING = 'model.embed_tokens.weight';

/**
 * Released names and shapes of all parameters. Weights of linear layers are `[out, in]`, that of the patch embedding
 * `[hidden, channels, time, rows, columns]`.
 * @param head whether there is a head of its own, rather than the embedding's weights
 */
export function expectedTensors(config: ModelConfig, { head }: { head: boolean }): Map<string, number[]> {
  const { vocabSize, hiddenSize } = config.text;
  const headShape: Named[] = head ? [[HEAD, [vocabSize, hiddenSize]]] : [];
  return new Map([...visionShapes(config), ...textShapes(config), ...headShape]);
}

type Named = [name: string, shape: number[]];

const linear = (name: string, out: number, width: number, hasBias: boolean): Named[] => [
  [`${name}.weight`, [out, width]],
  ...(hasBias ? [[`${name}.bias`, [out]] satisfies Named] : []),
];

function mlp(name: string, hidden: number, intermediate: number, hasBias: boolean): Named[] {
  return [
    ...linear(`${name}.gate_proj`, intermediate, hidden, hasBias),
    ...linear(`${name}.up_proj`, intermediate, hidden, hasBias),
    ...linear(`${name}.down_proj`, hidden, intermediate, hasBias),
  ];
}

function visionShapes({ vision, text }: ModelConfig): Named[] {
  const { hiddenSize: hidden, patchSize, temporalPatchSize, inChannels } = vision;
  const merged = hidden * vision.spatialMergeSize ** 2;
  const blocks = Array.from({ length: vision.depth }, (_, i) => `visual.blocks.${i}`);
  return [
    ['visual.patch_embed.proj.weight', [hidden, inChannels, temporalPatchSize, patchSize, patchSize]],
    ...blocks.flatMap((block): Named[] => [
      [`${block}.norm1.weight`, [hidden]],
      [`${block}.norm2.weight`, [hidden]],
      ...linear(`${block}.attn.qkv`, 3 * hidden, hidden, true),
      ...linear(`${block}.attn.proj`, hidden, hidden, true),
      ...mlp(`${block}.mlp`, hidden, vision.intermediateSize, true),
    ]),
    ['visual.merger.ln_q.weight', [hidden]],
    ...linear('visual.merger.mlp.0', merged, merged, true),
    ...linear('visual.merger.mlp.2', text.hiddenSize, merged, true),
  ];
}

function textShapes({ text }: ModelConfig): Named[] {
  const { hiddenSize: hidden, numHeads, numKeyValueHeads, headDim } = text;
  const layers = Array.from({ length: text.numLayers }, (_, i) => `model.layers.${i}`);
  return [
    [EMBEDDING, [text.vocabSize, hidden]],
    ...layers.flatMap((layer): Named[] => [
      ...linear(`${layer}.self_attn.q_proj`, numHeads * headDim, hidden, true),
      ...linear(`${layer}.self_attn.k_proj`, numKeyValueHeads * headDim, hidden, true),
      ...linear(`${layer}.self_attn.v_proj`, numKeyValueHeads * headDim, hidden, true),
      ...linear(`${layer}.self_attn.o_proj`, hidden, numHeads * headDim, false),
      ...mlp(`${layer}.mlp`, hidden, text.intermediateSize, false),
      [`${layer}.input_layernorm.weight`, [hidden]],
      [`${layer}.post_attention_layernorm.weight`, [hidden]],
    ]),
    ['model.norm.weight', [hidden]],
  ];
}
