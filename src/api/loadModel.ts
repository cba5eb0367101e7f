import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { ConfigError } from '../common/errors.ts';
import { readEosTokens } from '../config/generation.ts';
import { type LoadOptions, parseLoadConfig } from '../config/load.ts';
import { type ModelConfig, parseModelConfig } from '../config/model.ts';
import { pickRuntime } from '../config/runtime.ts';
import type { ImageSource } from '../data/image/decode.ts';
import { copyModelFiles, formerFolder, replaceFolder } from '../model/modelFolder.ts';
import type { Message } from '../data/text/chatTemplate.ts';
import type { Tokenizer } from '../data/text/tokenizer.ts';
import { readJson } from '../common/json.ts';
import { isWeightsFile, loadParameters, saveParameters } from '../model/checkpoint.ts';
import {
  generate,
  type GeneratedPart,
  type GenerateOptions,
  generateParts,
  type Generation,
} from '../model/generate.ts';
import type { ModelInputs } from '../model/inputs.ts';
import { type Adapter, loadAdapter, mergeAdapter, saveAdapter, scalingOf } from '../model/lora.ts';
import { contentOf } from '../model/parameters.ts';
import { createQwen25VL, logits, type Qwen25VL } from '../model/qwen25vl.ts';
import { type ResponseScores, score } from '../model/score.ts';
import { type SelectedBackend, selectBackend } from '../runtime/select.ts';
import type { Variable } from '../runtime/variable.ts';
import { type LabelledInputs, lossAndGradients, type Trainable } from '../train/loss.ts';
import { createVjp, type Vjp } from '../train/vjp.ts';
import { createPreparer, type Preparer } from './prepare.ts';

/** Whole logits, row-major. */
export interface Logits {
  data: Float32Array;
  /** `[B, L, V]` */
  shape: [number, number, number];
}

/** A loss and its gradient by the released names of the parameters, each in the parameter's shape, row-major. */
export interface LossAndGradients {
  loss: number;
  gradients: Map<string, Float32Array>;
}

/**
 * Loads a Qwen2.5-VL (Fine-R1) from a folder in Hugging Face's layout.
 *
 * @throws ConfigError if an option is wrong
 * @throws CheckpointError if a file is missing, damaged or does not fit the others
 * @throws BackendError if the backend that is asked for cannot run
 */
export async function loadModel(folder: string, options: LoadOptions = {}): Promise<Model> {
  const { dtype, adapter: adapterFolder, ...rest } = parseLoadConfig(options);
  assertFolder(folder);
  const file = join(folder, 'config.json');
  const config = parseModelConfig(readJson(file), file);
  const eosTokenIds = readEosTokens(folder, config.text.vocabSize);
  const preparer = createPreparer(folder, config, { dtype, adapter: adapterFolder, ...rest });
  const backend = await selectBackend(pickRuntime(rest));
  const parameters = loadParameters(folder, config, { dtype: dtype === 'auto' ? undefined : dtype });
  try {
    const adapter = adapterFolder === undefined ? undefined : loadAdapter(adapterFolder, parameters);
    return new Model(folder, config, backend, parameters, adapter, preparer, eosTokenIds);
  } catch (error) {
    for (const variable of parameters.values()) variable.dispose();
    throw error;
  }
}

function assertFolder(folder: string): void {
  const layout = "Give the folder of a model in Hugging Face's layout.";
  if (!existsSync(folder)) {
    const former = formerFolder(folder);
    throw new ConfigError(
      existsSync(former)
        ? `There is no folder ${folder}: a save was interrupted. Rename ${former}, which holds what was there, to it.`
        : `There is no folder ${folder}. ${layout}`,
    );
  }
  if (!statSync(folder).isDirectory()) throw new ConfigError(`${folder} is a file. ${layout}`);
}

/** A loaded model. Arrays go in and come out: nothing of tfjs has to be known. */
export class Model implements Disposable {
  private network: Qwen25VL;
  private vjp: Vjp | undefined;

  /** use `loadModel` */
  constructor(
    private readonly folder: string,
    readonly config: ModelConfig,
    /** what it computes on */
    readonly backend: SelectedBackend,
    private readonly parameters: Map<string, Variable>,
    private adapter: Adapter | undefined,
    private readonly preparer: Preparer,
    /** tokens that end a response, from `generation_config.json` */
    readonly eosTokenIds: readonly number[],
  ) {
    this.network = this.build();
  }

  /** the checkpoint's own; undefined where its folder has none */
  get tokenizer(): Tokenizer | undefined {
    return this.preparer.tokenizer;
  }

  /** Released names of the parameters, and their shapes. */
  get parameterShapes(): Map<string, readonly number[]> {
    return new Map([...this.network.parameters].map(([name, { shape }]) => [name, shape]));
  }

  /**
   * Makes inputs of a conversation: chat template, pictures, tokens. The assistant's turn is opened unless it is the
   * last one.
   *
   * @param images files or their content, one for each `{ type: 'image' }` in order; may stand in the messages instead
   * @throws DataError if a picture cannot be used, or images and messages do not fit
   */
  prepare(messages: readonly Message[], images: readonly ImageSource[] = []): Promise<ModelInputs> {
    return this.preparer.prepare(messages, images);
  }

  /** Logits of every token; zeros at padding. For small inputs: all of them are in memory at once. */
  logits(inputs: ModelInputs): Promise<Logits> {
    return logits(this.network, inputs);
  }

  /**
   * Generates responses. Without `stopTokens` those of the checkpoint's `generation_config.json` end a response; its
   * other settings (repetition penalty 1.05, say) do not count.
   *
   * @throws ConfigError that names each option that is wrong or unknown
   * @throws DataError if the inputs do not fit one another
   */
  async generate(inputs: ModelInputs, options: GenerateOptions): Promise<Generation> {
    return await generate(this.network, inputs, this.settingsOf(options));
  }

  /** The same, part by part; errors come with the first part. */
  async *stream(inputs: ModelInputs, options: GenerateOptions): AsyncGenerator<GeneratedPart[], void, void> {
    yield* generateParts(this.network, inputs, this.settingsOf(options));
  }

  /**
   * Log-probabilities (at a temperature) and entropies of the tokens of given responses.
   * @param responses as many for each row of the inputs, those of a row one after the other
   */
  score(
    inputs: ModelInputs,
    responses: readonly (readonly number[])[],
    options: { temperature?: number } = {},
  ): Promise<ResponseScores> {
    return score(this.network, inputs, responses, options);
  }

  /** The mean cross-entropy of the labels (-100: none), and its gradient. */
  async lossAndGradients(
    inputs: LabelledInputs,
    { trainable = 'all' }: { trainable?: Trainable } = {},
  ): Promise<LossAndGradients> {
    this.vjp ??= createVjp(this.network);
    const { loss, gradients } = await lossAndGradients(this.network, this.vjp, inputs, trainable);
    const values = new Map<string, Float32Array>();
    for (const [name, gradient] of gradients) values.set(name, await gradient.data<'float32'>());
    tf.dispose([...gradients.values()]);
    return { loss, gradients: values };
  }

  /** Adds the adapter to the weights for good. */
  mergeAdapter(): void {
    if (this.adapter === undefined) throw new ConfigError('The model has no adapter to merge.');
    mergeAdapter(this.adapter, this.parameters);
    const { parameters } = this.adapter;
    this.adapter = undefined;
    this.network[Symbol.dispose]();
    for (const variable of parameters.values()) variable.dispose();
    this.vjp = undefined;
    this.network = this.build();
  }

  /**
   * Saves the model in Hugging Face's layout, config, tokenizer and chat template included. A model with an adapter
   * saves the adapter only, in peft's layout: merge it first for a whole model.
   *
   * A model that is in the folder already stays until the new one is whole; other files there stay.
   *
   * @throws CheckpointError if the folder cannot be written
   */
  save(folder: string): void {
    const { adapter } = this;
    if (adapter !== undefined) {
      replaceFolder(folder, (fresh) => {
        saveAdapter(fresh, adapter);
      });
      return;
    }
    const parameters = new Map([...this.parameters].map(([name, variable]) => [name, contentOf(variable)]));
    replaceFolder(
      folder,
      (fresh) => {
        copyModelFiles(this.folder, fresh);
        saveParameters(fresh, parameters);
      },
      isWeightsFile,
    );
  }

  /** Frees the weights, and ends the threads that read pictures. */
  dispose(): void {
    void this.preparer[Symbol.asyncDispose]();
    this.network[Symbol.dispose]();
    for (const variable of this.network.parameters.values()) variable.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private build(): Qwen25VL {
    const { adapter } = this;
    const weights = new Map([...this.parameters, ...(adapter?.parameters ?? [])]);
    const isBfloat16 = this.parameters.get('model.embed_tokens.weight')?.dtype === 'bfloat16';
    return createQwen25VL(this.config, weights, {
      compute: isBfloat16 ? 'bfloat16' : 'float32',
      ...(adapter && { loraScaling: scalingOf(adapter.config) }),
    });
  }

  private settingsOf(options: GenerateOptions): GenerateOptions {
    return { ...options, stopTokens: options.stopTokens ?? this.eosTokenIds };
  }
}
