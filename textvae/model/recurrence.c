/* One step of a GRU that learns, forwards and backwards. Python: recurrence.py. */
#include "activations.h"

/* Rows `first` to `end` of a step; see gru_forwards(). */
FOR_EVERY_PROCESSOR
static void rows_forwards(int64_t first, int64_t end, int64_t hidden, const float *projected,
    const float *product, const float *state, float *next, float *gates)
{
    for (int64_t row = first; row < end; row++) {
        const float *from = projected + row * 3 * hidden, *recurrent = product + row * 3 * hidden;
        const float *before = state + row * hidden;
        float *after = next + row * hidden, *saved = gates + row * 4 * hidden;
#pragma GCC ivdep
        for (int64_t i = 0; i < hidden; i++) {
            float reset = sigmoid(from[i] + recurrent[i]);
            float update = sigmoid(from[hidden + i] + recurrent[hidden + i]);
            float new = tangent(from[2 * hidden + i] + reset * recurrent[2 * hidden + i]);
            after[i] = new + update * (before[i] - new);
            saved[i] = reset;
            saved[hidden + i] = update;
            saved[2 * hidden + i] = new;
            saved[3 * hidden + i] = recurrent[2 * hidden + i];
        }
    }
}

/* projected, product (rows, 3 * hidden): what inputs and states add to the gates, biases included;
 * state -> next (rows, hidden); gates (rows, 4 * hidden): reset, update, new and the last part of the
 * product, for the gradients. */
void gru_forwards(int64_t threads, int64_t rows, int64_t hidden, const float *projected,
    const float *product, const float *state, float *next, float *gates)
{
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows > 7)
    for (int64_t part = 0; part < threads; part++)
        rows_forwards(rows * part / threads, rows * (part + 1) / threads, hidden, projected, product,
            state, next, gates);
}

/* Rows `first` to `end` of a step; see gru_backwards(). */
FOR_EVERY_PROCESSOR
static void rows_backwards(int64_t first, int64_t end, int64_t hidden, const float *by_next,
    const float *by_product, const float *gates, const float *state, float *by_state,
    float *by_gates)
{
    for (int64_t row = first; row < end; row++) {
        const float *out = by_next + row * hidden, *back = by_product + row * hidden;
        const float *saved = gates + row * 4 * hidden, *before = state + row * hidden;
        float *direct = by_state + row * hidden, *gradient = by_gates + row * 4 * hidden;
#pragma GCC ivdep
        for (int64_t i = 0; i < hidden; i++) {
            float reset = saved[i], update = saved[hidden + i], new = saved[2 * hidden + i];
            float whole = out[i] + direct[i] + back[i];
            float by_update = whole * (before[i] - new) * update * (1.0f - update);
            float by_new = whole * (1.0f - update) * (1.0f - new * new);
            direct[i] = whole * update;
            gradient[i] = by_new;
            gradient[hidden + i] = by_new * saved[3 * hidden + i] * reset * (1.0f - reset);
            gradient[2 * hidden + i] = by_update;
            gradient[3 * hidden + i] = by_new * reset;
        }
    }
}

/* The gradients of a step, from the sum of three gradients of its next states.
 *
 * by_next: from their readers; by_state: from the step after them, without its product, and replaced
 * by the same for the step before; by_product: through its product, (rows, hidden) each. gates and
 * state: those of the step. by_gates (rows, 4 * hidden): of new, reset and update with respect to the
 * inputs' part, and of new with respect to the product's part, so that the first three parts are the
 * inputs' gradients and the last three the product's. */
void gru_backwards(int64_t threads, int64_t rows, int64_t hidden, const float *by_next,
    const float *by_product, const float *gates, const float *state, float *by_state,
    float *by_gates)
{
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows > 7)
    for (int64_t part = 0; part < threads; part++)
        rows_backwards(rows * part / threads, rows * (part + 1) / threads, hidden, by_next,
            by_product, gates, state, by_state, by_gates);
}
