import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { CheckpointError, DataError, messageOf } from '../../common/errors.ts';

/** A part of a message. The image itself is given apart, or here (a file's path, or its bytes). */
export type ContentPart = { type: 'text'; text: string } | { type: 'image'; image?: string | Uint8Array };

/** A turn of a conversation. */
export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string | readonly ContentPart[];
}

/** Renders a conversation as text; `addGenerationPrompt` opens the assistant's turn. */
export type ChatTemplate = (
  messages: readonly Message[],
  options: { addGenerationPrompt: boolean },
) => string;

/** What an image is in the text, before it is expanded to its number of tokens. */
const IMAGE_PAD = '<|image_pad|>';

/** The template that Qwen2.5-VL was released with, without its parts for videos and tools. */
const RELEASED_TEMPLATE = `{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}<|im_end|>
{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`;

/**
 * Loads a checkpoint's own chat template (`chat_template.jinja`, `chat_template.json` or `tokenizer_config.json`), or
 * the released one where it has none.
 *
 * @throws CheckpointError if the template is damaged
 */
export function loadChatTemplate(folder: string): ChatTemplate {
  const { source, file } = findTemplate(folder) ?? {
    source: RELEASED_TEMPLATE,
    file: 'the built-in template',
  };
  let template: Template;
  try {
    template = new Template(source);
  } catch (error) {
    throw new CheckpointError(`${file} is no chat template (${messageOf(error)}). Fetch it again.`);
  }
  return (messages, { addGenerationPrompt }) => {
    try {
      return template.render({
        messages: withoutBytes(messages),
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (error) {
      throw new DataError(`${file} cannot render the messages: ${messageOf(error)}.`);
    }
  };
}

function findTemplate(folder: string): { source: string; file: string } | undefined {
  const jinja = join(folder, 'chat_template.jinja');
  if (existsSync(jinja)) return { source: readFileSync(jinja, 'utf8'), file: jinja };
  for (const name of ['chat_template.json', 'tokenizer_config.json']) {
    const file = join(folder, name);
    if (!existsSync(file)) continue;
    let source: unknown;
    try {
      source = (JSON.parse(readFileSync(file, 'utf8')) as { chat_template?: unknown }).chat_template;
    } catch (error) {
      throw new CheckpointError(`${file} cannot be read (${messageOf(error)}). Fetch it again.`);
    }
    if (typeof source === 'string') return { source, file };
  }
  return undefined;
}

/* The template needs to know that there is an image, not which one. */
const withoutBytes = (messages: readonly Message[]): unknown =>
  messages.map(({ role, content }) => ({
    role,
    content:
      typeof content === 'string'
        ? content
        : content.map((part) => (part.type === 'image' ? { type: 'image' } : part)),
  }));

/** The images that stand in messages themselves, in order. */
export function imagesIn(messages: readonly Message[]): (string | Uint8Array)[] {
  return messages
    .flatMap(({ content }) => (typeof content === 'string' ? [] : content))
    .flatMap((part) => (part.type === 'image' && part.image !== undefined ? [part.image] : []));
}

/**
 * Expands each image's placeholder to as many as it has tokens.
 * @param grids patches of each image along time, rows and columns
 * @param mergeSize side of a token in patches
 * @throws DataError if there are not as many placeholders as images
 */
export function expandImages(
  text: string,
  grids: readonly (readonly [number, number, number])[],
  mergeSize: number,
): string {
  const parts = text.split(IMAGE_PAD);
  if (parts.length - 1 !== grids.length) {
    throw new DataError(
      `The messages have places for ${parts.length - 1} images ({type: 'image'} parts, or ${IMAGE_PAD} in a text), but ` +
        `${grids.length} images were given. Give one image for each place.`,
    );
  }
  return parts.reduce((expanded, part, i) => {
    const [time, rows, columns] = grids[i - 1] as readonly [number, number, number];
    return expanded + IMAGE_PAD.repeat((time * rows * columns) / mergeSize ** 2) + part;
  });
}
