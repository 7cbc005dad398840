/* How many products a second one core can add up when nothing is read from memory: what no search can pass.

   Ten sums hide the latency of an instruction; the empty assembly keeps the compiler from adding up once for all rounds. */
#if defined(__x86_64__)
#include <immintrin.h>

#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9)

__attribute__((target("avx2,fma"))) long float32_avx2(long rounds) {
    __m256 sums[10], a = _mm256_set1_ps(1.0f), b = a;
    for (int i = 0; i < 10; i++) sums[i] = _mm256_setzero_ps();
    for (long round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+x"(a));
#define DO(i) sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
        EACH(DO)
#undef DO
    }
    for (int i = 0; i < 10; i++) __asm__ volatile("" : : "x"(sums[i]));
    return rounds * 10 * 8;
}

__attribute__((target("avx2"))) long int8_avx2(long rounds) {
    __m256i sums[10], a = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1), b = a;
    for (int i = 0; i < 10; i++) sums[i] = _mm256_setzero_si256();
    for (long round = 0; round < rounds; round++) {
#define DO(i) \
    __asm__ volatile("" : "+x"(a)); \
    sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
        EACH(DO)
#undef DO
    }
    for (int i = 0; i < 10; i++) __asm__ volatile("" : : "x"(sums[i]));
    return rounds * 10 * 32;
}

__attribute__((target("avx512f"))) long float32_avx512(long rounds) {
    __m512 sums[10], a = _mm512_set1_ps(1.0f), b = a;
    for (int i = 0; i < 10; i++) sums[i] = _mm512_setzero_ps();
    for (long round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+v"(a));
#define DO(i) sums[i] = _mm512_fmadd_ps(a, b, sums[i]);
        EACH(DO)
#undef DO
    }
    for (int i = 0; i < 10; i++) __asm__ volatile("" : : "v"(sums[i]));
    return rounds * 10 * 16;
}

__attribute__((target("avx512f,avx512vnni"))) long int8_avx512(long rounds) {
    __m512i sums[10], a = _mm512_set1_epi32(0x01010101), b = a;
    for (int i = 0; i < 10; i++) sums[i] = _mm512_setzero_si512();
    for (long round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+v"(a));
#define DO(i) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
        EACH(DO)
#undef DO
    }
    for (int i = 0; i < 10; i++) __asm__ volatile("" : : "v"(sums[i]));
    return rounds * 10 * 64;
}
#endif
