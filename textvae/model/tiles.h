/* Matrix products of some rows with 16 outputs each, for one kind of processor: products.c includes
 * this once for each, with
 *   NAME(part)   the part's name there        TARGET       the attribute that allows its instructions
 *   LANES        floats of a vector           ROWS         most rows of a tile, as registers allow;
 *                                             without it there are integers alone
 *   FUSED        a sum, to which a product    WHOLE_ROWS   the same of integers
 *                of floats is added at once
 *   MULTIPLY_ADD a sum, to which products     WIDEN        shorts from bytes; these three where
 *                of shorts are added in pairs              they exist
 *
 * Every output is the sum over the inputs in their order, BLOCK at a time, whatever other rows,
 * outputs and threads there are. So its bits depend on its own row alone.
 */
#define PARTS (16 / LANES)

typedef float NAME(floats) __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t NAME(integers) __attribute__((vector_size(4 * LANES)));
typedef int16_t NAME(shorts) __attribute__((vector_size(4 * LANES)));
typedef int8_t NAME(bytes) __attribute__((vector_size(2 * LANES), aligned(1)));

#ifdef ROWS
/* A product is added to the sum, rounded once where that is one instruction. It is named explicitly:
 * a compiler with the choice takes two for one row and one for many. */
TARGET INLINE void NAME(add)(NAME(floats) *sum, NAME(floats) some, float input)
{
#ifdef FUSED
    *sum = (NAME(floats))FUSED(some, *sum, input);
#else
    *sum += some * input;
#endif
}

/* Add the inputs from `from` on to `rows` rows times `panels` panels; both are constant where this is
 * inlined. */
TARGET INLINE void NAME(tile)(int rows, int panels, const struct product *of, int64_t from,
    int64_t row, int64_t panel)
{
    int64_t inputs = of->inputs, apart = of->row_stride, wide = of->out_stride;
    int64_t to = from + BLOCK < inputs ? from + BLOCK : inputs;
    const float *input = of->rows + row * apart;
    float *out = of->out + row * wide + 16 * panel;
    const float *weight = (const float *)of->weight + panel * 16 * inputs;
    NAME(floats) sum[ROWS * PARTS];
    for (int n = 0; n < rows * panels * PARTS; n++)
        sum[n] = (NAME(floats)){0};
#pragma GCC unroll 4
    for (int64_t k = from; k < to; k++)
#pragma GCC unroll 4
        for (int p = 0; p < panels; p++) {
            NAME(floats) some[PARTS];
#pragma GCC unroll 4
            for (int part = 0; part < PARTS; part++)
                some[part]
                    = *(const NAME(floats) *)(weight + 16 * (p * inputs + k) + part * LANES);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
                for (int part = 0; part < PARTS; part++)
                    NAME(add)(sum + (p * rows + r) * PARTS + part, some[part], input[r * apart + k]);
        }
    for (int p = 0; p < panels; p++)
        for (int r = 0; r < rows; r++)
            for (int part = 0; part < PARTS; part++) {
                int64_t offset = 16 * p + part * LANES;
                const float *before = of->bias + 16 * panel + offset;
                float *after = out + r * wide + offset;
                *(NAME(floats) *)after = sum[(p * rows + r) * PARTS + part]
                    + *(const NAME(floats) *)(from ? after : before);
            }
}

/* The first `rows` rows times one panel, whose weights stay in the nearest cache block by block. */
TARGET static void NAME(one_panel)(const struct product *of, int64_t rows, int64_t panel)
{
    for (int64_t from = 0; from < of->inputs; from += BLOCK) {
        int64_t row = 0;
        for (; row + ROWS <= rows; row += ROWS)
            NAME(tile)(ROWS, 1, of, from, row, panel);
#if ROWS > 8
        for (; row + 8 <= rows; row += 8)
            NAME(tile)(8, 1, of, from, row, panel);
#endif
        for (; row + 4 <= rows; row += 4)
            NAME(tile)(4, 1, of, from, row, panel);
    }
}

/* The last `rows` rows, constant where this is inlined, times the panels from `first` to
 * `end`, `together` at once, so that enough sums are under way. */
TARGET INLINE void NAME(last_rows)(int rows, int together, const struct product *of, int64_t first,
    int64_t end)
{
    int64_t panel = first, row = of->count - rows;
    for (; panel + together <= end; panel += together)
        for (int64_t from = 0; from < of->inputs; from += BLOCK)
            NAME(tile)(rows, together, of, from, row, panel);
    for (; panel < end; panel++)
        for (int64_t from = 0; from < of->inputs; from += BLOCK)
            NAME(tile)(rows, 1, of, from, row, panel);
}

/* All rows times the panels from `first` to `end`, four at a time, which the second cache holds. */
TARGET static void NAME(floating)(const struct product *of, int64_t first, int64_t end)
{
    int64_t rest = of->count % ROWS % 4;
    for (int64_t panel = first; panel < end; panel += 4) {
        int64_t stop = panel + 4 < end ? panel + 4 : end;
        for (int64_t one = panel; one < stop && rest < of->count; one++)
            NAME(one_panel)(of, of->count - rest, one);
        switch (rest) {
        case 3:
            NAME(last_rows)(3, PARTS > 1 ? 1 : 2, of, panel, stop);
            break;
        case 2:
            NAME(last_rows)(2, PARTS > 1 ? 2 : 4, of, panel, stop);
            break;
        case 1:
            NAME(last_rows)(1, 4, of, panel, stop);
        }
    }
}
#endif

/* The sum and the products of 2 * LANES shorts with the two of `two` in turn, added in pairs. */
TARGET INLINE NAME(integers) NAME(with_pairs)(NAME(integers) sum, NAME(shorts) some, int32_t two)
{
    NAME(integers) spread = (NAME(integers)){0} + two;
#ifdef MULTIPLY_ADD
    return (NAME(integers))MULTIPLY_ADD(sum, some, spread);
#else
    NAME(integers) both = (NAME(integers))some; /* the first of a pair is the lower half */
    return sum + ((both << 16) >> 16) * ((spread << 16) >> 16) + (both >> 16) * (spread >> 16);
#endif
}

/* 2 * LANES weights as shorts. */
TARGET INLINE NAME(shorts) NAME(widened)(const int8_t *weight)
{
#ifdef WIDEN
    return (NAME(shorts))WIDEN(weight);
#else
    return __builtin_convertvector(*(const NAME(bytes) *)weight, NAME(shorts));
#endif
}

/* The same with weights in int8 and rows in int16: integers, so that no order can matter. */
TARGET INLINE void NAME(whole_tile)(int rows, int panels, const struct product *of, int64_t row,
    int64_t panel)
{
    int64_t inputs = of->inputs, wide = of->out_stride;
    const int16_t *input = of->whole + row * inputs;
    const int8_t *weight = (const int8_t *)of->weight + panel * 16 * inputs;
    NAME(integers) sum[WHOLE_ROWS * PARTS];
    for (int n = 0; n < rows * panels * PARTS; n++)
        sum[n] = (NAME(integers)){0};
#pragma GCC unroll 4
    for (int64_t k = 0; k < inputs; k += 2)
#pragma GCC unroll 4
        for (int p = 0; p < panels; p++) {
            NAME(shorts) some[PARTS];
#pragma GCC unroll 4
            for (int part = 0; part < PARTS; part++)
                some[part] = NAME(widened)(weight + 16 * (p * inputs + k) + 2 * part * LANES);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                int32_t two;
                memcpy(&two, input + r * inputs + k, sizeof two);
#pragma GCC unroll 4
                for (int part = 0; part < PARTS; part++) {
                    NAME(integers) *so_far = sum + (p * rows + r) * PARTS + part;
                    *so_far = NAME(with_pairs)(*so_far, some[part], two);
                }
            }
        }
    for (int p = 0; p < panels; p++)
        for (int r = 0; r < rows; r++)
            for (int part = 0; part < PARTS; part++) {
                int64_t offset = 16 * (panel + p) + part * LANES;
                NAME(floats) scale = *(const NAME(floats) *)(of->scale + offset);
                *(NAME(floats) *)(of->out + (row + r) * wide + offset)
                    = *(const NAME(floats) *)(of->bias + offset)
                    + __builtin_convertvector(sum[(p * rows + r) * PARTS + part], NAME(floats))
                        * (scale * of->row_scale[row + r]);
            }
}

TARGET static void NAME(whole)(const struct product *of, int64_t first, int64_t end)
{
    int64_t panel = first;
    if (of->count == 1)
        for (; panel + 4 <= end; panel += 4)
            NAME(whole_tile)(1, 4, of, 0, panel);
    for (; panel < end; panel++) {
        int64_t row = 0;
        for (; row + WHOLE_ROWS <= of->count; row += WHOLE_ROWS)
            NAME(whole_tile)(WHOLE_ROWS, 1, of, row, panel);
#if WHOLE_ROWS > 4
        for (; row + 4 <= of->count; row += 4)
            NAME(whole_tile)(4, 1, of, row, panel);
#endif
        for (; row + 2 <= of->count; row += 2)
            NAME(whole_tile)(2, 1, of, row, panel);
        if (row < of->count)
            NAME(whole_tile)(1, 1, of, row, panel);
    }
}

#undef NAME
#undef TARGET
#undef LANES
#undef PARTS
#undef ROWS
#undef WHOLE_ROWS
#undef FUSED
#undef MULTIPLY_ADD
#undef WIDEN
