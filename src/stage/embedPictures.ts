import * as tf from '@tensorflow/tfjs';
import { mapAhead } from '../data/image/pool.ts';
import type { ImageSource } from '../data/image/decode.ts';
import { encodeImages, type Qwen25VL } from '../model/qwen25vl.ts';
import type { StageInputs } from './inputs.ts';

const AHEAD = 4;

/**
 * What a model's vision tower sees in pictures: of each the mean of its tokens behind the merger, `[H]`.
 *
 * @param onPictures is told how many are done
 * @throws DataError that names a picture that cannot be used
 * @throws what aborted the signal
 */
export async function embedPictures(
  model: Qwen25VL,
  { pool }: Pick<StageInputs, 'pool'>,
  pictures: readonly ImageSource[],
  { signal, onPictures }: { signal: AbortSignal; onPictures: (done: number) => void },
): Promise<Float32Array[]> {
  const embeddings: Float32Array[] = [];
  for await (const image of mapAhead(pictures, (source) => pool.process(source), AHEAD)) {
    signal.throwIfAborted();
    using encoded = encodeImages(model, {
      pixelValues: image.pixelValues,
      imageGridThw: [[...image.gridThw]],
    });
    const mean = tf.tidy(() => {
      const rows = tf.tensor1d(encoded.rows[0] as Int32Array, 'int32');
      return (encoded.features as tf.Tensor).gather(rows).mean(0);
    });
    embeddings.push(await mean.data<'float32'>());
    mean.dispose();
    onPictures(embeddings.length);
  }
  return embeddings;
}
