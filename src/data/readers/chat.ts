import { z } from 'zod';
import { DataError } from '../../common/errors.ts';
import type { ChatRow, RowOrigin } from '../rows.ts';
import { IMAGE_MARK, type Turn } from '../text/conversation.ts';
import { parseFields, placeOf, resolveImage } from './fields.ts';

/* How ShareGPT's `conversations` name the roles. */
const ROLES: Record<string, Turn['role']> = { human: 'user', gpt: 'assistant' };
const role = z
  .string()
  .transform((name) => ROLES[name] ?? name)
  .pipe(
    z.enum(['system', 'user', 'assistant'], {
      error: 'expected system, user (or human) or assistant (or gpt)',
    }),
  );
const path = z.string().min(1, "expected a picture's path");
const messagesSchema = z.array(z.object({ role, content: z.string() })).min(1, 'expected a turn at least');
const conversationsSchema = z
  .array(z.object({ from: role, value: z.string() }))
  .min(1, 'expected a turn at least');
const imagesSchema = z.union([z.array(path), path.transform((only) => [only])], {
  error: "expected a list of pictures' paths",
});
const schemaWithMessages = z.object({ messages: messagesSchema, images: imagesSchema.default([]) });
const schemaWithConversations = z.object({
  conversations: conversationsSchema,
  images: imagesSchema.optional(),
  image: imagesSchema.optional(),
});

/**
 * Reads a ShareGPT-style row: `messages` of `role` and `content`, or `conversations` of `from` and `value`, with
 * `images` (LLaVA's `image` beside `conversations`).
 *
 * @param imageRoot where relative paths begin
 * @throws DataError that names the row and the field, if it cannot be trained on
 */
export function parseChatRow(value: unknown, origin: RowOrigin, imageRoot: string): ChatRow {
  const { messages, images } = readTurns(value, origin);
  const marks = messages.reduce((sum, { content }) => sum + content.split(IMAGE_MARK).length - 1, 0);
  if (marks !== images.length) {
    throw new DataError(
      `${placeOf(origin)}: the messages have ${marks} ${IMAGE_MARK} marks, but images lists ${images.length} pictures. ` +
        'Put one mark where each picture stands.',
    );
  }
  const roles = messages.map((turn) => turn.role);
  const spoken = roles[0] === 'system' ? roles.slice(1) : roles;
  const alternate = spoken.every((name, i) => name === (i % 2 === 0 ? 'user' : 'assistant'));
  if (!alternate || spoken.length === 0 || spoken.length % 2 === 1) {
    throw new DataError(
      `${placeOf(origin)}: the turns are ${roles.join(', ')}; expected a system turn or none, then user and assistant ` +
        "in turn, the last one the assistant's.",
    );
  }
  return { origin, messages, images: images.map((image) => resolveImage(imageRoot, image)) };
}

function readTurns(value: unknown, origin: RowOrigin): { messages: Turn[]; images: string[] } {
  if (typeof value === 'object' && value !== null && 'conversations' in value) {
    const { conversations, images, image } = parseFields(schemaWithConversations, value, origin);
    return {
      messages: conversations.map((turn) => ({ role: turn.from, content: turn.value })),
      images: images ?? image ?? [],
    };
  }
  return parseFields(schemaWithMessages, value, origin);
}
