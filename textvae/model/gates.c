/* The gates of a GRU, a row at a time, for every row of a step: what is left of it when the matrix
 * product is done. Plain C that compilers vectorise; a row's bits depend on nothing but the row.
 */
#include "exponential.h"

INLINE float sigmoid(float x)
{
    return 1.0f / (1.0f + exponential(-x));
}

/* By the exponential where that is exact enough, else by the continued fraction of tanh. */
INLINE float tangent(float x)
{
    float square = x * x;
    float near_zero = x * (10395.0f + square * (1260.0f + square * 21.0f))
        / (10395.0f + square * (4725.0f + square * (210.0f + square)));
    float elsewhere = 1.0f - 2.0f / (1.0f + exponential(2.0f * x));
    return square < 0.36f ? near_zero : elsewhere;
}

/* One row; `more` is known where this is inlined, so that each loop is one of whole vectors. */
INLINE void one_row(int64_t hidden, const float *given, const float *extra, int more,
    const float *product, const float *before, float *after)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < hidden; i++) {
        float first = given[i], second = given[hidden + i], third = given[2 * hidden + i];
        if (more) {
            first += extra[i];
            second += extra[hidden + i];
            third += extra[2 * hidden + i];
        }
        float reset = sigmoid(first + product[i]);
        float update = sigmoid(second + product[hidden + i]);
        float new = tangent(third + reset * product[2 * hidden + i]);
        after[i] = new + update * (before[i] - new);
    }
}

/* One step of `rows` rows.
 *
 * table (vocab, 3 * hidden), tokens: a row's number in it, `token_stride` apart; extra: NULL, or
 * (rows, 3 * hidden) to be added; product: hidden -> 3 * hidden of each row, `product_stride` floats
 * apart; state and next: (rows, hidden), which may be the same. total and largest: NULL, or
 * (rows, hidden) that the next states are added to and compared with.
 */
FOR_EVERY_PROCESSOR
void gru_step(int64_t rows, int64_t hidden, const float *table, const int64_t *tokens,
    int64_t token_stride, const float *extra, const float *product, int64_t product_stride,
    const float *state, float *next, float *total, float *largest)
{
    for (int64_t row = 0; row < rows; row++) {
        const float *given = table + tokens[row * token_stride] * 3 * hidden;
        const float *made = product + row * product_stride;
        const float *before = state + row * hidden;
        float *after = next + row * hidden;
        if (extra)
            one_row(hidden, given, extra + row * 3 * hidden, 1, made, before, after);
        else
            one_row(hidden, given, 0, 0, made, before, after);
        if (total) {
            float *sum = total + row * hidden, *most = largest + row * hidden;
#pragma GCC ivdep
            for (int64_t i = 0; i < hidden; i++) {
                sum[i] += after[i];
                most[i] = after[i] > most[i] ? after[i] : most[i];
            }
        }
    }
}
