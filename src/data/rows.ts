import type { ImageSource } from './image/decode.ts';
import type { Turn } from './text/conversation.ts';

/** Where a row stands, for messages. */
export interface RowOrigin {
  file: string;
  /** from 1 */
  row: number;
}

/** Stage 1: a conversation to learn. */
export interface ChatRow {
  origin: RowOrigin;
  /** pictures are marked in the texts, by {@link IMAGE_MARK} */
  messages: Turn[];
  /** one for each mark, in order */
  images: ImageSource[];
}

/** Stage 2: a question about a picture, with one of the same and one of the most similar other sub-category. */
export interface TripletRow {
  origin: RowOrigin;
  problem: string;
  answer: string;
  /** the released `images` */
  anchor: ImageSource;
  /** the released `image_noisy`: the same sub-category */
  positive: ImageSource;
  /** the released `image_aug`: the most similar other sub-category */
  negative: ImageSource;
  options?: string[];
}

/** A question of an evaluation. */
export interface EvalRow {
  origin: RowOrigin;
  image: ImageSource;
  question: string;
  options: string[];
  groundTruth: string;
  /** whether the sub-category had training pictures, where the file's name says so */
  split?: 'seen' | 'unseen';
}

/** A picture with its sub-category. */
export interface ClassRow {
  origin: RowOrigin;
  image: ImageSource;
  label: string;
  split: 'train' | 'test';
  /** whether the sub-category has training pictures in this split */
  seen: boolean;
}

/** What a person points finer1 at, as rows of one kind. */
export type Dataset =
  | { kind: 'chat'; format: ChatFormat; rows: ChatRow[] }
  | { kind: 'triplets'; format: 'triplets-parquet' | 'triplets-jsonl'; rows: TripletRow[] }
  | { kind: 'eval'; format: 'eval-jsonl'; rows: EvalRow[] }
  | { kind: 'classes'; format: ClassFormat; rows: ClassRow[] };

/** Files of conversations. */
export type ChatFormat = 'sharegpt-json' | 'sharegpt-jsonl';

/** Folders of pictures by sub-category. */
export type ClassFormat =
  | 'class-folders'
  | 'fgvc-aircraft'
  | 'cub-200-2011'
  | 'stanford-cars'
  | 'stanford-dogs'
  | 'flowers-102'
  | 'oxford-pet';
