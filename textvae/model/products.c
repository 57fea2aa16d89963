/* Products of rows with the weights of a linear layer, laid out in panels: 16 outputs next to one
 * another, input after input. Python: products.py.
 */
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define BLOCK 128 /* inputs that are summed before the sum is rounded into the output */

enum kind { FLOAT32, INT8 };

/* The arguments of a product, see multiply(). */
struct product {
    int64_t kind, count, inputs, row_stride, out_stride;
    const float *rows;
    const void *weight; /* (panels, inputs, 16); of int8 (panels, inputs / 2, 16, 2) */
    const float *bias, *scale;
    int16_t *whole;
    float *row_scale, *out;
};

#define EVERYWHERE(part) part##_everywhere
#define NAME EVERYWHERE
#define TARGET
#define LANES 4
#define ROWS 6
#define WHOLE_ROWS 4
#include "tiles.h"

#if defined(__x86_64__) && defined(__GNUC__) && defined(__linux__)
#include <immintrin.h>
#define X86 1

#define AVX2(part) part##_avx2
#define NAME AVX2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define ROWS 6
#define WHOLE_ROWS 4
#define FUSED(some, sum, input) \
    _mm256_fmadd_ps((__m256)(some), _mm256_set1_ps(input), (__m256)(sum))
#define MULTIPLY_ADD(sum, some, spread) \
    _mm256_add_epi32((__m256i)(sum), _mm256_madd_epi16((__m256i)(some), (__m256i)(spread)))
#define WIDEN(at) _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(at)))
#include "tiles.h"

/* 512 bits: 16 rows are half of 32, the slots of a server by default. */
#define AVX512(part) part##_avx512
#define NAME AVX512
#define TARGET __attribute__((target("avx512f,avx512bw,avx2,fma")))
#define LANES 16
#define ROWS 16
#define WHOLE_ROWS 16
#define FUSED(some, sum, input) \
    _mm512_fmadd_ps((__m512)(some), _mm512_set1_ps(input), (__m512)(sum))
#define MULTIPLY_ADD(sum, some, spread) \
    _mm512_add_epi32((__m512i)(sum), _mm512_madd_epi16((__m512i)(some), (__m512i)(spread)))
#define WIDEN(at) _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(at)))
#include "tiles.h"

/* Integers alone, where one instruction multiplies and adds them. */
#define VNNI(part) part##_vnni
#define NAME VNNI
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vnni,avx2,fma")))
#define LANES 16
#define WHOLE_ROWS 16
#define MULTIPLY_ADD(sum, some, spread) \
    _mm512_dpwssd_epi32((__m512i)(sum), (__m512i)(some), (__m512i)(spread))
#define WIDEN(at) _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(at)))
#include "tiles.h"
#endif

/* The widest vectors of this processor that products are written for, in floats. */
int64_t lanes_best(void)
{
#ifdef X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        return 16;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return 8;
#endif
    return 4;
}

/* Panels of a product by vectors of `lanes` floats, at most those that the processor has. */
static void some_panels(const struct product *of, int64_t lanes, int64_t first, int64_t end)
{
#ifdef X86
    if (lanes == 16) {
        if (of->kind == INT8 && __builtin_cpu_supports("avx512vnni"))
            whole_vnni(of, first, end);
        else
            (of->kind == INT8 ? whole_avx512 : floating_avx512)(of, first, end);
        return;
    }
    if (lanes == 8) {
        (of->kind == INT8 ? whole_avx2 : floating_avx2)(of, first, end);
        return;
    }
#endif
    (of->kind == INT8 ? whole_everywhere : floating_everywhere)(of, first, end);
}

/* A row's floats as integers of at most `most`, times `row_scale`: each row has its own, so that it
 * depends on no other. */
static void rows_as_whole(const struct product *of, float most)
{
    const float rounding = 12582912.0f; /* 1.5 * 2^23: adding it rounds to the nearest integer */
    for (int64_t row = 0; row < of->count; row++) {
        const float *input = of->rows + row * of->row_stride;
        float largest = 0;
        for (int64_t k = 0; k < of->inputs; k++) {
            float size = input[k] < 0 ? -input[k] : input[k];
            largest = size > largest ? size : largest;
        }
        float times = largest > 0 ? most / largest : 0;
        of->row_scale[row] = largest / most;
        for (int64_t k = 0; k < of->inputs; k++)
            of->whole[row * of->inputs + k] = (int16_t)(input[k] * times + rounding - rounding);
    }
}

/* rows (count, inputs) -> out (count, 16 * panels), one row after the other.
 *
 * `lanes`: floats of a vector, lanes_best() at most. Of int8: `scale` (16 * panels,) the step of an
 * output's weights; `most` the largest integer of a row; `whole` (count, inputs) and `row_scale`
 * (count,) as buffers. Of float32 these are not read, and inputs may be odd.
 */
void multiply(int64_t kind, int64_t lanes, int64_t threads, int64_t count, int64_t inputs,
    int64_t panels, const float *rows, int64_t row_stride, const void *weight, const float *bias,
    const float *scale, float most, int16_t *whole, float *row_scale, float *out)
{
    const struct product of = {kind, count, inputs, row_stride, 16 * panels, rows, weight, bias, scale,
        whole, row_scale, out};
    if (kind == INT8)
        rows_as_whole(&of, most);
    /* Waking threads costs more than a small product. */
    if (threads < 2 || count * inputs * panels < 1 << 14) {
        some_panels(&of, lanes, 0, panels);
        return;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t part = 0; part < threads; part++)
        some_panels(&of, lanes, panels * part / threads, panels * (part + 1) / threads);
}
