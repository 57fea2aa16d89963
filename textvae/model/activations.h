/* Functions of a float that compilers can vectorise, and the macros for that. */
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
/* Inlined into its caller, such a function is compiled for the default alone. */
#define FOR_EVERY_PROCESSOR \
    __attribute__((noinline, target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))

/* 2^k * e^r with |r| <= ln(2) / 2 and the Taylor polynomial of degree 7: 2 units in the last place. */
INLINE float exponential(float x)
{
    const float rounding = 12582912.0f; /* 1.5 * 2^23: adding it rounds to the nearest integer */
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    float shifted = x * 1.44269504088896341f + rounding;
    float k = shifted - rounding;
    float r = (x - k * 0.693359375f) + k * 2.12194440e-4f; /* ln(2) in two parts */
    float sum = 1.0f / 5040;
    sum = sum * r + 1.0f / 720;
    sum = sum * r + 1.0f / 120;
    sum = sum * r + 1.0f / 24;
    sum = sum * r + 1.0f / 6;
    sum = sum * r + 0.5f;
    sum = sum * r + 1.0f;
    sum = sum * r + 1.0f;
    int32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    bits += (int32_t)((uint32_t)(int32_t)k << 23);
    memcpy(&sum, &bits, sizeof sum);
    return sum;
}

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
