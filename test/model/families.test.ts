import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { type Family, layOutFamilies, placesOfFamilies } from '../../src/model/families.ts';
import { layOutText, rowsOf } from '../../src/model/inputs.ts';
import { type Row } from '../../src/model/positions.ts';
import { padPlaces, placesOf, score, scoreFamilies } from '../../src/model/score.ts';
import { createVjp, type Gradients } from '../../src/train/vjp.ts';
import { onEveryBackend } from '../support/backends.ts';
import { loadGoldenModel, readCase } from './support.ts';

const RESPONSES = [[5, 9, 31, 7], [8, 8], [40, 2, 3, 11, 12, 13], [3], [17, 25, 6]];
const TRAINED = /^model\.|^visual\.merger/;

onEveryBackend(() => {
  describe('responses that share their prompt', () => {
    const familiesOf = (rows: readonly Row[]): Family[] => [
      { prompt: rows[0] as Row, responses: RESPONSES.slice(0, 3) },
      { prompt: rows[1] as Row, responses: RESPONSES.slice(3) },
    ];

    it('have the log-probabilities of responses behind a prompt each', async () => {
      const { inputs, floors } = readCase('tiny-a', 'batch_left');
      // A tenth of torch float32's own distance from float64: sums are of two parts, and rounded otherwise.
      const limit = (floors['text.logits'] as number) / 10;
      using model = loadGoldenModel('tiny-a');
      const families = familiesOf(rowsOf(inputs, model.config));
      const shared = await scoreFamilies(model, inputs, families, 0.7);
      const owners = [0, 0, 0, 1, 1];
      for (const [i, response] of RESPONSES.entries()) {
        const single = await score(
          model,
          inputs,
          inputs.inputIds.map((_, b) => (b === owners[i] ? response : [])),
          { temperature: 0.7 },
        );
        const b = owners[i] as number;
        for (const part of ['logProbs', 'entropies'] as const) {
          const found = shared[part][i] as Float32Array;
          expect(found).toHaveLength(response.length);
          found.forEach((value, t) => {
            expect(Math.abs(value - (single[part][b]?.[t] as number)), `${part} ${i} ${t}`).toBeLessThan(
              limit,
            );
          });
        }
      }
    });

    it.each(['none', 'blocks'] as const)(
      'have the gradient of the same rows apart, checkpointing %s',
      async (checkpointing) => {
        const { inputs } = readCase('tiny-a', 'batch_left');
        using model = loadGoldenModel('tiny-a');
        const prompts = rowsOf(inputs, model.config);
        const trainable = new Set([...model.parameters.keys()].filter((name) => TRAINED.test(name)));
        // A loss of the log-probabilities themselves: minus their squares.
        const vjp = createVjp(model, {
          checkpointing,
          coefficientsOf: (logProbs, { mask }) => logProbs.mul(mask as tf.Tensor),
        });
        const gradientsOf = async (
          rows: readonly Row[],
          batch: ReturnType<typeof layOutText>,
          places: ReturnType<typeof placesOf>,
          images: typeof inputs,
        ): Promise<Gradients> => {
          const padded = padPlaces(places, batch.ids.length);
          const mask = tf.tensor1d(Float32Array.from(padded.rows, (_, i) => Number(i < places.rows.length)));
          const { gradients } = await vjp({
            inputs: images,
            rows,
            batch,
            places: padded,
            data: { mask },
            temperature: 0.9,
            trainable,
          });
          mask.dispose();
          return gradients;
        };
        const families = familiesOf(prompts);
        const batch = layOutFamilies(families, model.config);
        const shared = await gradientsOf(prompts, batch, placesOfFamilies(families, batch), inputs);

        // Each response behind its own prompt, with its images.
        const owners = [0, 0, 0, 1, 1];
        const rows = RESPONSES.map((response, i): Row => {
          const { ids, grids } = prompts[owners[i] as number] as Row;
          return { ids: [...ids, ...response], grids };
        });
        const patches = prompts.map(({ grids }) => grids.reduce((sum, [t, h, w]) => sum + t * h * w, 0));
        const pixels = inputs.pixelValues as Float32Array;
        const width = pixels.length / patches.reduce((a, b) => a + b, 0);
        const pixelsOf = (b: number): Float32Array => {
          const from = patches.slice(0, b).reduce((x, y) => x + y, 0) * width;
          return pixels.slice(from, from + (patches[b] as number) * width);
        };
        const apart = layOutText(rows, model.config);
        const single = await gradientsOf(
          rows,
          apart,
          placesOf(
            rows.map(({ ids }, i) => ({ from: ids.length - (RESPONSES[i] as number[]).length, ids })),
            apart.length,
          ),
          {
            ...inputs,
            pixelValues: Float32Array.from(owners.flatMap((b) => [...pixelsOf(b)])),
            imageGridThw: owners.flatMap((b) => (prompts[b] as Row).grids.map((grid) => [...grid])),
          },
        );

        expect([...shared.keys()].sort()).toEqual([...single.keys()].sort());
        const largest = Math.max(...[...single.values()].map((x) => x.abs().max().dataSync()[0] as number));
        expect(largest).toBeGreaterThan(0.1);
        for (const [name, gradient] of single) {
          const error = gradient
            .sub(shared.get(name) as tf.Tensor)
            .abs()
            .max()
            .dataSync()[0] as number;
          expect(error / largest, name).toBeLessThan(1e-5);
        }
        tf.dispose([...shared.values(), ...single.values()]);
      },
    );
  });
});
