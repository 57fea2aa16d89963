/* The gates of a GRU, a row at a time, for every row of a step: its elementwise part, after the
 * matrix product. Portable C that compilers vectorise; a row's bits depend on nothing but the row.
 */
#include "activations.h"

/* One row; `more` is known where this is inlined, so that each loop is one of whole vectors. */
INLINE void one_row(int64_t hidden, const float *by_input, const float *extra, int more,
    const float *product, const float *before, float *after)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < hidden; i++) {
        float first = by_input[i], second = by_input[hidden + i], third = by_input[2 * hidden + i];
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

/* The arguments of a step, see gru_step(). */
struct step {
    int64_t hidden, token_stride, product_stride;
    const float *table;
    const int64_t *tokens;
    const float *extra, *product, *state;
    float *next, *total, *largest;
};

FOR_EVERY_PROCESSOR
static void some_rows(const struct step *of, int64_t first, int64_t end)
{
    int64_t hidden = of->hidden;
    for (int64_t row = first; row < end; row++) {
        const float *by_input = of->table + of->tokens[row * of->token_stride] * 3 * hidden;
        const float *by_state = of->product + row * of->product_stride;
        const float *before = of->state + row * hidden;
        float *after = of->next + row * hidden;
        if (of->extra)
            one_row(hidden, by_input, of->extra + row * 3 * hidden, 1, by_state, before, after);
        else
            one_row(hidden, by_input, 0, 0, by_state, before, after);
        if (of->total) {
            float *sum = of->total + row * hidden, *most = of->largest + row * hidden;
#pragma GCC ivdep
            for (int64_t i = 0; i < hidden; i++) {
                sum[i] += after[i];
                most[i] = after[i] > most[i] ? after[i] : most[i];
            }
        }
    }
}

/* One step of `rows` rows.
 *
 * table (vocab, 3 * hidden), tokens: a row's index in it, `token_stride` apart; extra: NULL, or
 * (rows, 3 * hidden) to add; product: hidden -> 3 * hidden of each row, `product_stride` floats
 * apart; state and next: (rows, hidden), which may be the same. total and largest: NULL, or
 * (rows, hidden) running sum and maximum of the next states.
 */
void gru_step(int64_t threads, int64_t rows, int64_t hidden, const float *table,
    const int64_t *tokens, int64_t token_stride, const float *extra, const float *product,
    int64_t product_stride, const float *state, float *next, float *total, float *largest)
{
    const struct step of = {hidden, token_stride, product_stride, table, tokens, extra, product,
        state, next, total, largest};
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows > 7)
    for (int64_t part = 0; part < threads; part++)
        some_rows(&of, rows * part / threads, rows * (part + 1) / threads);
}
