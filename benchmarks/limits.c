/* How many products a second one core can add up when nothing is read from memory: what no search can pass.

   Ten sums hide the latency of an instruction; the empty assembly keeps the compiler from adding up once for all rounds. */
#if defined(__x86_64__)
#include <immintrin.h>

/* NUMBERS are added up in a vector; STEP adds the products of `a` and `b` to a sum. */
#define LIMIT(name, features, Vector, NUMBERS, STEP)                                                       \
    __attribute__((target(features))) long name(long rounds) {                                             \
        Vector sums[10] = {0}, a = {1}, b = {1};                                                           \
        for (long round = 0; round < rounds; round++)                                                      \
            _Pragma("GCC unroll 10") for (int i = 0; i < 10; i++) {                                        \
                __asm__ volatile("" : "+v"(a));                                                            \
                sums[i] = STEP(sums[i], a, b);                                                             \
            }                                                                                              \
        for (int i = 0; i < 10; i++)                                                                       \
            __asm__ volatile("" : : "v"(sums[i]));                                                         \
        return rounds * 10 * NUMBERS;                                                                      \
    }

#define FLOAT_256(sum, a, b) _mm256_fmadd_ps(a, b, sum)
#define INT8_256(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)))
#define FLOAT_512(sum, a, b) _mm512_fmadd_ps(a, b, sum)

LIMIT(float32_avx2, "avx2,fma", __m256, 8, FLOAT_256)
LIMIT(int8_avx2, "avx2", __m256i, 32, INT8_256)
LIMIT(float32_avx512, "avx512f", __m512, 16, FLOAT_512)
LIMIT(int8_avx512, "avx512f,avx512vnni", __m512i, 64, _mm512_dpbusd_epi32)
#endif
