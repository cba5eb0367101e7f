import type { DataError } from '../common/errors.ts';
import type { ImageSource } from './image/decode.ts';
import type { Turn } from './text/conversation.ts';

/** Where a row stands, for messages. */
export interface RowOrigin {
  file: string;
  /** from 1; of lines of JSON and of lists, the line */
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
  /** a file */
  image: string;
  label: string;
  split: 'train' | 'test';
  /** whether the sub-category is for training: by `seen.txt` and `unseen.txt`, else by its training pictures */
  seen: boolean;
}

/** The rows of each kind of data. */
export interface RowKinds {
  chat: ChatRow;
  triplets: TripletRow;
  eval: EvalRow;
  classes: ClassRow;
}

export type DataKind = keyof RowKinds;

/** How data lies on disk. */
export type DataFormat =
  | 'sharegpt-json'
  | 'sharegpt-jsonl'
  | 'triplets-parquet'
  | 'triplets-jsonl'
  | 'eval-jsonl'
  | 'class-folders'
  | 'fgvc-aircraft'
  | 'cub-200-2011'
  | 'stanford-cars'
  | 'stanford-dogs'
  | 'flowers-102'
  | 'oxford-pet';

/** What to do with a row that is wrong. Left out, it is thrown. */
export type OnBadRow = (error: DataError, origin: RowOrigin) => void;

/** Data on disk whose rows are all of one kind, and are read when they are asked for. */
export interface DatasetOf<K extends DataKind> {
  kind: K;
  format: DataFormat;
  /** the file or folder */
  path: string;
  /** what of the data is left unused, for the person to know */
  notes: string[];
  /** @throws DataError that names file, row and field, what was found and what was expected, if a row is wrong */
  rows(onBadRow?: OnBadRow): AsyncIterable<RowKinds[K]>;
}

export type Dataset = { [K in DataKind]: DatasetOf<K> }[DataKind];
