/* From a decoder's logits the next token of each row, and the logarithm of the sum of exponentials.
 * Each row is computed by itself, in one order, so it depends on no other row. Python: pick.py,
 * which does the same with torch and NumPy.
 */
#include "../model/activations.h"

#include <math.h>
#include <stdlib.h>

#define BLOCK 64 /* tokens whose mass is summed as one */
#define GROUP 16 /* tokens whose maximum is checked before each of them */
#define LIKELIEST 256 /* tokens that top-p sorts at first */
#define COLDEST 1e-6 /* a lower temperature is raised to this one */
#define NOTHING -80.0f /* the exponential of less counts as 0 */

struct candidate {
    float logit;
    int32_t token;
};

/* The options of a row, see pick.py. */
struct picking {
    double temperature, top_p, min_p, uniform;
    int64_t top_k;
};

INLINE float largest_of(const float *logits, int64_t count)
{
    float largest = -INFINITY;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < count; i++)
        largest = logits[i] > largest ? logits[i] : largest;
    return largest;
}

/* The mass of a token, in multiples of the likeliest's; 0 if it is under `least`. */
INLINE float mass_of(float logit, float largest, float colder, float least)
{
    float power = (logit - largest) * colder, mass = exponential(power);
    mass = power < NOTHING ? 0.0f : mass;
    return mass < least ? 0.0f : mass;
}

/* The mass of each block of a row's tokens, and of all. */
INLINE double block_masses(const float *logits, int64_t vocab, float largest, float colder,
    float least, double *blocks)
{
    double all = 0;
    for (int64_t from = 0; from < vocab; from += BLOCK) {
        int64_t end = vocab - from < BLOCK ? vocab : from + BLOCK;
        float mass = 0;
#pragma omp simd reduction(+ : mass)
        for (int64_t i = from; i < end; i++)
            mass += mass_of(logits[i], largest, colder, least);
        blocks[from / BLOCK] = mass;
        all += mass;
    }
    return all;
}

/* The token on whose share of all mass the number falls. */
INLINE int64_t among_all(const float *logits, int64_t vocab, float largest,
    const struct picking *picking, double *blocks)
{
    float colder = (float)(1 / picking->temperature), least = (float)picking->min_p;
    double aim = picking->uniform * block_masses(logits, vocab, largest, colder, least, blocks);
    double before = 0;
    int64_t block = 0, last = (vocab - 1) / BLOCK;
    while (last && !blocks[last])
        last--;
    while (block < last && before + blocks[block] <= aim)
        before += blocks[block++];
    int64_t token = block * BLOCK, end = vocab - token < BLOCK ? vocab - 1 : token + BLOCK - 1;
    while (end > token && !mass_of(logits[end], largest, colder, least))
        end--;
    for (; token < end; token++) {
        before += mass_of(logits[token], largest, colder, least);
        if (before > aim)
            break;
    }
    return token;
}

/* Return whether one comes after the other: less likely, or as likely and later in the vocabulary. */
static int after(const struct candidate *one, const struct candidate *other)
{
    return one->logit < other->logit || (one->logit == other->logit && one->token > other->token);
}

static int by_likelihood(const void *one, const void *other)
{
    return after(one, other) ? 1 : -1;
}

/* Move the first `width` in order to the front, the last of them to index width - 1 (Hoare 1961). */
static void select_first(struct candidate *some, int64_t count, int64_t width)
{
    int64_t low = 0, high = count - 1, wanted = width - 1;
    while (low < high) {
        struct candidate pivot = some[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (after(&pivot, &some[i]))
                i++;
            while (after(&some[j], &pivot))
                j--;
            if (i <= j) {
                struct candidate moved = some[i];
                some[i++] = some[j];
                some[j--] = moved;
            }
        }
        if (wanted <= j)
            high = j;
        else if (wanted >= i)
            low = i;
        else
            return;
    }
}

/* The `width` likeliest tokens of a row, the likeliest first; `found` holds `vocab` candidates.
 *
 * Where there are more groups of tokens than tokens wanted, none of these is less likely than the
 * last of as many groups' best. */
INLINE void likeliest(const float *logits, int64_t vocab, int64_t width, struct candidate *found)
{
    int64_t groups = vocab / GROUP, count = 0;
    float least = -INFINITY;
    if (width < groups) {
        for (int64_t group = 0; group < groups; group++) {
            float best = largest_of(logits + group * GROUP, GROUP);
            found[group] = (struct candidate){best, (int32_t)group};
        }
        select_first(found, groups, width);
        least = found[width - 1].logit;
    }
    for (int64_t from = 0; from < vocab; from += GROUP) {
        int64_t end = vocab - from < GROUP ? vocab : from + GROUP;
        if (end - from == GROUP && largest_of(logits + from, GROUP) < least)
            continue;
        for (int64_t i = from; i < end; i++)
            if (!(logits[i] < least)) /* also NaN: there must be `width` candidates */
                found[count++] = (struct candidate){logits[i], (int32_t)i};
    }
    if (width < count)
        select_first(found, count, width);
    qsort(found, width, sizeof *found, by_likelihood);
}

/* The token that is sampled among these, the likeliest first; -1 if top-p needs more than these and
 * there are more. `whole`: the mass of all tokens, in multiples of the likeliest's. */
static int64_t among(const struct candidate *found, int64_t width, int more, double whole,
    const struct picking *picking)
{
    double all = 0;
    for (int64_t i = 0; i < width; i++)
        all += exp((found[i].logit - found[0].logit) / picking->temperature);
    double aim = picking->top_p * (picking->top_k ? all : whole);
    if (more && !picking->top_k && all < aim)
        return -1;
    /* The first token whose share brings the sum to top_p still counts (Holtzman et al. 2020). */
    double nucleus = 0;
    int64_t count = 0;
    for (; count < width; count++) {
        double mass = exp((found[count].logit - found[0].logit) / picking->temperature);
        if (count && (nucleus >= aim || mass < picking->min_p || !mass))
            break;
        nucleus += mass;
    }
    double number = picking->uniform * nucleus, edge = 0;
    for (int64_t i = 0; i < count - 1; i++) {
        edge += exp((found[i].logit - found[0].logit) / picking->temperature);
        if (edge > number)
            return found[i].token;
    }
    return found[count - 1].token;
}

/* The next token of one row; `room` holds `vocab` candidates. */
FOR_EVERY_PROCESSOR
static int64_t pick_one(const float *logits, int64_t vocab, const struct picking *picking,
    struct candidate *room)
{
    float largest = largest_of(logits, vocab);
    if (picking->temperature <= 0) {
        int64_t token = 0;
        while (token + 1 < vocab && logits[token] != largest)
            token++;
        return token;
    }
    if (!picking->top_k && picking->top_p >= 1)
        return among_all(logits, vocab, largest, picking, (double *)room);
    double whole = 0;
    if (!picking->top_k)
        whole = block_masses(
            logits, vocab, largest, (float)(1 / picking->temperature), 0.0f, (double *)room);
    int64_t width = picking->top_k ? picking->top_k : LIKELIEST;
    for (;; width *= 4) { /* the flatter a distribution, the more tokens top-p needs */
        width = width < vocab ? width : vocab;
        likeliest(logits, vocab, width, room);
        int64_t token = among(room, width, width < vocab, whole, picking);
        if (token >= 0)
            return token;
    }
}

FOR_EVERY_PROCESSOR
static double log_sum(const float *logits, int64_t vocab, double *room)
{
    float largest = largest_of(logits, vocab);
    return largest + log(block_masses(logits, vocab, largest, 1.0f, 0.0f, room));
}

/* logits (rows, vocab), `stride` floats apart -> (rows,) tokens. The options: (rows,) each;
 * `room`: (threads, vocab) of 8 bytes as a buffer. */
void pick_rows(int64_t threads, int64_t rows, int64_t vocab, const float *logits, int64_t stride,
    const double *temperature, const int64_t *top_k, const double *top_p, const double *min_p,
    const double *uniform, struct candidate *room, int64_t *tokens)
{
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1 && rows > 3)
    for (int64_t part = 0; part < threads; part++)
        for (int64_t row = rows * part / threads; row < rows * (part + 1) / threads; row++) {
            double colder = temperature[row] > 0 ? fmax(temperature[row], COLDEST) : 0;
            struct picking picking = {colder, top_p[row], min_p[row], uniform[row], top_k[row]};
            tokens[row] = pick_one(logits + row * stride, vocab, &picking, room + part * vocab);
        }
}

/* logits (rows, vocab), `stride` floats apart -> (rows,) logarithms of their exponentials' sums. */
void log_sums(int64_t threads, int64_t rows, int64_t vocab, const float *logits, int64_t stride,
    double *room, double *sums)
{
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1 && rows > 3)
    for (int64_t part = 0; part < threads; part++)
        for (int64_t row = rows * part / threads; row < rows * (part + 1) / threads; row++)
            sums[row] = log_sum(logits + row * stride, vocab, room + part * vocab);
}
