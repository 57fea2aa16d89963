/* The gradients of the softmax layer's logits, in place. Python: softmax.py. */
#include <math.h>

#include "activations.h"

/* One row of logits becomes its softmax less 1 at `id`; returns the nats of that id. */
FOR_EVERY_PROCESSOR
static float row_errors(int64_t vocab, float *row, int64_t id)
{
    float most = -INFINITY, sum = 0, wanted = row[id];
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < vocab; i++)
        most = row[i] > most ? row[i] : most;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < vocab; i++) {
        row[i] = exponential(row[i] - most);
        sum += row[i];
    }
    float scale = 1.0f / sum;
    for (int64_t i = 0; i < vocab; i++)
        row[i] *= scale;
    row[id] -= 1.0f;
    /* A NaN among the logits makes the sum NaN, although `most` may have skipped it. */
    return logf(sum) + (most - wanted);
}

/* bfloat16 is the upper half of a float32. */
FOR_EVERY_PROCESSOR
static void widened(int64_t count, const uint16_t *from, float *to)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = (uint32_t)from[i] << 16;
        memcpy(to + i, &bits, sizeof bits);
    }
}

/* To the nearest; errors are no infinities. */
FOR_EVERY_PROCESSOR
static void narrowed(int64_t count, const float *from, uint16_t *to)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, from + i, sizeof bits);
        to[i] = (uint16_t)((bits + 0x8000) >> 16);
    }
}

/* logits (rows, vocab) -> the gradient of each, in place; nats (rows,) of `ids` (rows,).
 *
 * `room`: NULL, and the logits are float32; or (threads, vocab) as a buffer, and they are bfloat16. */
void softmax_errors(int64_t threads, int64_t rows, int64_t vocab, void *logits, const int64_t *ids,
    float *room, float *nats)
{
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows > 1)
    for (int64_t part = 0; part < threads; part++)
        for (int64_t row = rows * part / threads; row < rows * (part + 1) / threads; row++) {
            if (!room) {
                nats[row] = row_errors(vocab, (float *)logits + row * vocab, ids[row]);
                continue;
            }
            uint16_t *low = (uint16_t *)logits + row * vocab;
            float *wide = room + part * vocab;
            widened(vocab, low, wide);
            nats[row] = row_errors(vocab, wide, ids[row]);
            narrowed(vocab, wide, low);
        }
}
