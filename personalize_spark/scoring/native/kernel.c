/* The int8 screen (search.h) and the float64 product (exact.h) of scoring/, compiled: same items, same products, same bits as numpy. And sparse
   items: sparse.h; what trains: solver.h, moments.h and rows.h; what looks items up and writes: index.h and lines.h.

   Plain C11, no Python.h: scoring/kernel.py loads it by ctypes. What is proved of it is in scoring/bounds.py, why it is so in
   docs/decisions/0009-int8-screen.md. The search is written once and instantiated for each level of instructions; which of
   these the processor and the system have is asked of CPUID and XGETBV, or of getauxval: compilers' own
   __builtin_cpu_supports is wrong under some of them. A level must also agree with portable C before it is used. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 10 /* of what is called from Python: scoring/kernel.py has the same number */

#define INLINE static inline __attribute__((always_inline))

#include "exact.h"
#include "index.h"
#include "lines.h"
#include "moments.h"
#include "rows.h"
#include "search.h"
#include "solver.h"
#include "sparse.h"

/* ---- the levels: dot products of a group of users with a block, and which of a block's are above a number */

INLINE uint64_t above_portable(const int32_t *dots, int32_t least) {
    uint64_t bits = 0;
    for (int i = 0; i < ITEMS; i++)
        bits |= (uint64_t)(dots[i] > least) << i;
    return bits;
}
#define GROUP_PORTABLE 4
INLINE void dots_portable(const int8_t *block, const uint8_t *const *users, int group, int64_t quads, const int32_t *start,
                          const int32_t *least, int32_t *out, uint64_t *bits) {
    for (int i = 0; i < group; i++) {
        for (int panel = 0; panel < ITEMS / LANES; panel++) {
            int32_t sums[LANES];
            memcpy(sums, start + panel * LANES, sizeof sums);
            for (int64_t quad = 0; quad < quads; quad++) {
                const int8_t *items = block + (panel * quads + quad) * LANES * 4;
                const int8_t *user = (const int8_t *)users[i] + quad * 4;
                for (int lane = 0; lane < LANES; lane++)
                    for (int j = 0; j < 4; j++)
                        sums[lane] += items[lane * 4 + j] * user[j];
            }
            memcpy(out + i * ITEMS + panel * LANES, sums, sizeof sums);
        }
        if (least)
            bits[i] = above_portable(out + i * ITEMS, least[i]);
    }
}

#define LEVEL(name, target, group, limit, bias, bytes)                                                                   \
    SOLVER(name, target, bytes)                                                                                          \
    MOMENTS(name, target, bytes)                                                                                         \
    target static int search_##name(const Task *task) {                                                                  \
        return search(task, dots_##name, above_##name, group, limit, bias);                                              \
    }                                                                                                                    \
    target static int paired_##name(const float *users, const int64_t *rows, const float *items, const int64_t *columns, \
                                    int64_t pairs, int64_t rank, double *out) {                                          \
        return paired(users, rows, items, columns, pairs, rank, out);                                                    \
    }                                                                                                                    \
    target static int ordered_##name(const double *values, const int64_t *starts, int64_t lists, const int32_t *ranks,   \
                                     int64_t *out) {                                                                     \
        return ordered(values, starts, lists, ranks, out);                                                               \
    }                                                                                                                    \
    target static int sparse_##name(const Sparse *task) { return sparse_search(task); }                                  \
    target static void check_##name(const int8_t *block, const uint8_t *const *users, int64_t quads,                     \
                                    const int32_t *start, const int32_t *least, int32_t *out, uint64_t *bits) {          \
        dots_##name(block, users, group, quads, start, NULL, out, NULL);                                                 \
        for (int i = 0; i < group; i++)                                                                                  \
            bits[group + i] = above_##name(out + i * ITEMS, least[i]);                                                   \
        dots_##name(block, users, group, quads, start, least, out, bits);                                                \
    }
LEVEL(portable, , GROUP_PORTABLE, 127, 0, 16)

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* vpmaddubsw saturates: users of 7 bits without a sign, items of 8 bits with one, so that 2 * 127 * 127 fits into 16. */
#define AVX2 __attribute__((target("avx2,fma,bmi")))
#define GROUP_AVX2 4
AVX2 INLINE __m256i quad_avx2(__m256i sum, __m256i user, __m256i items, __m256i ones) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(user, items), ones));
}
/* In two halves: which are above. */
AVX2 INLINE uint64_t above_16_avx2(__m256i left, __m256i right, int32_t least) {
    __m256i than = _mm256_set1_epi32(least);
    int low = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(left, than)));
    int high = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(right, than)));
    return (uint64_t)(uint32_t)(low | high << 8);
}
AVX2 INLINE void dots_avx2(const int8_t *block, const uint8_t *const *users, int group, int64_t quads, const int32_t *start,
                           const int32_t *least, int32_t *out, uint64_t *bits) {
    for (int i = 0; least && i < group; i++)
        bits[i] = 0;
    const __m256i ones = _mm256_set1_epi16(1);
    for (int panel = 0; panel < ITEMS / LANES; panel++) {
        __m256i left[GROUP_AVX2], right[GROUP_AVX2];
        for (int i = 0; i < group; i++) {
            left[i] = _mm256_loadu_si256((const __m256i *)(start + panel * LANES));
            right[i] = _mm256_loadu_si256((const __m256i *)(start + panel * LANES + 8));
        }
        const int8_t *items = block + panel * quads * LANES * 4;
        for (int64_t quad = 0; quad < quads; quad++, items += LANES * 4) {
            __m256i a = _mm256_loadu_si256((const __m256i *)items), b = _mm256_loadu_si256((const __m256i *)(items + 32));
            for (int i = 0; i < group; i++) {
                int32_t four;
                memcpy(&four, users[i] + quad * 4, 4);
                __m256i user = _mm256_set1_epi32(four);
                left[i] = quad_avx2(left[i], user, a, ones);
                right[i] = quad_avx2(right[i], user, b, ones);
            }
        }
        for (int i = 0; i < group; i++) {
            if (least)
                bits[i] |= above_16_avx2(left[i], right[i], least[i]) << LANES * panel;
            _mm256_storeu_si256((__m256i *)(out + i * ITEMS + panel * LANES), left[i]);
            _mm256_storeu_si256((__m256i *)(out + i * ITEMS + panel * LANES + 8), right[i]);
        }
    }
}
AVX2 INLINE uint64_t above_avx2(const int32_t *dots, int32_t least) {
    uint64_t bits = 0;
    for (int i = 0; i < ITEMS; i += LANES)
        bits |= above_16_avx2(_mm256_loadu_si256((const __m256i *)(dots + i)), _mm256_loadu_si256((const __m256i *)(dots + i + 8)), least) << i;
    return bits;
}
LEVEL(avx2, AVX2, GROUP_AVX2, 63, 64, 32)

#if defined(__clang__) && __clang_major__ >= 18 && __clang_major__ < 22 /* these have a name of its own for 512 bits */
#define EVEX512 ",evex512"
#else
#define EVEX512
#endif
#define VNNI __attribute__((target("avx2,fma,bmi,avx512f,avx512vl,avx512bw,avx512dq,avx512vnni" EVEX512)))
#define GROUP_VNNI 6
VNNI INLINE __m512i quad_vnni(__m512i sum, __m512i user, __m512i items) {
#if defined(__clang__)
    return _mm512_dpbusd_epi32(sum, user, items);
#else /* gcc 12 spills with the intrinsic */
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(user), "v"(items));
    return sum;
#endif
}
VNNI INLINE void dots_vnni(const int8_t *block, const uint8_t *const *users, int group, int64_t quads, const int32_t *start,
                           const int32_t *least, int32_t *out, uint64_t *bits) {
    __m512i sums[GROUP_VNNI][4];
    for (int i = 0; i < group; i++)
        for (int panel = 0; panel < 4; panel++)
            sums[i][panel] = _mm512_loadu_si512(start + panel * LANES);
    for (int64_t quad = 0; quad < quads; quad++) {
        __m512i items[4];
        for (int panel = 0; panel < 4; panel++)
            items[panel] = _mm512_loadu_si512(block + (panel * quads + quad) * LANES * 4);
        for (int i = 0; i < group; i++) {
            int32_t four;
            memcpy(&four, users[i] + quad * 4, 4);
            __m512i user = _mm512_set1_epi32(four);
            for (int panel = 0; panel < 4; panel++)
                sums[i][panel] = quad_vnni(sums[i][panel], user, items[panel]);
        }
    }
    for (int i = 0; i < group; i++) {
        if (least) {
            bits[i] = 0;
            for (int panel = 0; panel < 4; panel++)
                bits[i] |= (uint64_t)_mm512_cmpgt_epi32_mask(sums[i][panel], _mm512_set1_epi32(least[i])) << LANES * panel;
        }
        for (int panel = 0; panel < 4; panel++)
            _mm512_storeu_si512(out + i * ITEMS + panel * LANES, sums[i][panel]);
    }
}
VNNI INLINE uint64_t above_vnni(const int32_t *dots, int32_t below) {
    __m512i least = _mm512_set1_epi32(below);
    uint64_t bits = 0;
    for (int i = 0; i < 4; i++)
        bits |= (uint64_t)_mm512_cmpgt_epi32_mask(_mm512_loadu_si512(dots + i * 16), least) << 16 * i;
    return bits;
}
LEVEL(vnni, VNNI, GROUP_VNNI, 127, 128, 32)

/* What the system saves at a switch of threads, of XMM, YMM and the three parts of ZMM. */
static uint32_t saved_states(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}
static int has_avx2(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1) || !(c >> 12 & 1) || (saved_states() & 6) != 6)
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 5 & 1) && (b >> 3 & 1);
}
static int has_vnni(void) {
    uint32_t a, b, c, d;
    if (!has_avx2() || (saved_states() & 0xE6) != 0xE6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (b >> 16 & 1) && (b >> 17 & 1) && (b >> 30 & 1) && (b >> 31 & 1) && (c >> 11 & 1);
}
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_neon.h>
#include <sys/auxv.h>

#define NEON __attribute__((target("dotprod")))
#define GROUP_NEON 4
NEON INLINE void dots_neon(const int8_t *block, const uint8_t *const *users, int group, int64_t quads, const int32_t *start,
                           const int32_t *least, int32_t *out, uint64_t *bits) {
    for (int panel = 0; panel < ITEMS / LANES; panel++) {
        int32x4_t sums[GROUP_NEON][4];
        for (int i = 0; i < group; i++)
            for (int part = 0; part < 4; part++)
                sums[i][part] = vld1q_s32(start + panel * LANES + part * 4);
        const int8_t *items = block + panel * quads * LANES * 4;
        for (int64_t quad = 0; quad < quads; quad++, items += LANES * 4)
            for (int i = 0; i < group; i++) {
                int32_t four;
                memcpy(&four, users[i] + quad * 4, 4);
                int8x16_t user = vreinterpretq_s8_s32(vdupq_n_s32(four));
                for (int part = 0; part < 4; part++)
                    sums[i][part] = vdotq_s32(sums[i][part], vld1q_s8(items + part * 16), user);
            }
        for (int i = 0; i < group; i++)
            for (int part = 0; part < 4; part++)
                vst1q_s32(out + i * ITEMS + panel * LANES + part * 4, sums[i][part]);
    }
    for (int i = 0; least && i < group; i++)
        bits[i] = above_portable(out + i * ITEMS, least[i]);
}
#define above_neon above_portable
LEVEL(neon, NEON, GROUP_NEON, 127, 0, 16)
static int has_neon(void) { return (getauxval(AT_HWCAP) >> 20 & 1) != 0; }
#endif

static int has_portable(void) { return 1; }

typedef struct {
    const char *name;
    int group, limit, bias;
    int (*has)(void);
    int (*search)(const Task *);
    int (*solve)(const Systems *);
    int (*moments)(const Moments *);
    void (*listed)(const ListedMoments *);
    int (*sparse)(const Sparse *);
    int (*ordered)(const double *, const int64_t *, int64_t, const int32_t *, int64_t *);
    int (*paired)(const float *, const int64_t *, const float *, const int64_t *, int64_t, int64_t, double *);
    void (*check)(const int8_t *, const uint8_t *const *, int64_t, const int32_t *, const int32_t *, int32_t *, uint64_t *);
} Level;

#define ENTRY(name, shown, group, limit, bias) \
    {shown, group, limit, bias, has_##name, search_##name, solve_##name, moments_##name, listed_##name, sparse_##name, ordered_##name, paired_##name, check_##name}
static const Level LEVELS[] = { /* the best one last */
    ENTRY(portable, "portable", GROUP_PORTABLE, 127, 0),
#if defined(__x86_64__)
    ENTRY(avx2, "avx2", GROUP_AVX2, 63, 64),
    ENTRY(vnni, "avx512vnni", GROUP_VNNI, 127, 128),
#elif defined(__aarch64__) && defined(__linux__)
    ENTRY(neon, "neon-dotprod", GROUP_NEON, 127, 0),
#endif
};

/* Extreme and random numbers, each dot product held against one that is added up number by number. */
static int agrees(const Level *level) {
    enum { QUADS = 5, RANK = 4 * QUADS };
    int8_t block[ITEMS * RANK];
    uint8_t rows[MOST_GROUP][RANK];
    const uint8_t *users[MOST_GROUP];
    int32_t start[ITEMS], least[MOST_GROUP], out[MOST_GROUP * ITEMS];
    uint64_t bits[2 * MOST_GROUP];
    uint32_t random = 1;
    for (int i = 0; i < ITEMS * RANK; i++) {
        random = random * 1664525 + 1013904223;
        block[i] = (int8_t)(i % 5 == 0 ? -127 : i % 7 == 0 ? 127 : (int)(random >> 24) % 255 - 127);
    }
    for (int i = 0; i < level->group; i++) {
        for (int j = 0; j < RANK; j++) {
            random = random * 1664525 + 1013904223;
            int value = i == 0 ? level->limit : i == 1 ? -level->limit : (int)(random >> 24) % (2 * level->limit + 1) - level->limit;
            rows[i][j] = (uint8_t)(value + level->bias);
        }
        users[i] = rows[i];
        least[i] = 12345 * i;
    }
    for (int i = 0; i < ITEMS; i++)
        start[i] = 1000 * i;
    level->check(block, users, QUADS, start, least, out, bits);
    for (int i = 0; i < level->group; i++)
        for (int item = 0; item < ITEMS; item++) {
            int32_t sum = start[item];
            for (int j = 0; j < RANK; j++) {
                int user = level->bias ? rows[i][j] : (int8_t)rows[i][j];
                sum += user * block[((item / LANES * QUADS + j / 4) * LANES + item % LANES) * 4 + j % 4];
            }
            uint64_t above = sum > least[i];
            if (out[i * ITEMS + item] != sum || (bits[i] >> item & 1) != above || (bits[level->group + i] >> item & 1) != above)
                return 0;
        }
    return 1;
}

/* ---- what is called from Python */

#define EXPORT __attribute__((visibility("default")))

EXPORT int kernel_version(void) { return VERSION; }

/* How many levels this build knows. */
EXPORT int kernel_levels(void) { return (int)(sizeof LEVELS / sizeof *LEVELS); }

EXPORT const char *kernel_name(int level) { return LEVELS[level].name; }

/* Whether this machine runs a level, and rightly. */
EXPORT int kernel_runs(int level) { return LEVELS[level].has() && agrees(&LEVELS[level]); }

/* 0, or -1 where there is no memory. */
EXPORT int kernel_search(int level, const Task *task) { return LEVELS[level].search(task); }

EXPORT int kernel_paired(int level, const float *users, const int64_t *rows, const float *items, const int64_t *columns,
                         int64_t pairs, int64_t rank, double *out) {
    return LEVELS[level].paired(users, rows, items, columns, pairs, rank, out);
}

EXPORT int kernel_ordered(int level, const double *values, const int64_t *starts, int64_t lists, const int32_t *ranks, int64_t *out) {
    return LEVELS[level].ordered(values, starts, lists, ranks, out);
}

EXPORT int kernel_solve(int level, const Systems *task) { return LEVELS[level].solve(task); }

EXPORT int kernel_moments(int level, const Moments *task) { return LEVELS[level].moments(task); }

EXPORT void kernel_listed_moments(int level, const ListedMoments *task) { LEVELS[level].listed(task); }

EXPORT int kernel_row_products(const Rows *task) { return row_products(task); }

EXPORT int kernel_sparse_search(int level, const Sparse *task) { return LEVELS[level].sparse(task); }

EXPORT int kernel_sparse_paired(const Sparse *task, const int64_t *rows, const int64_t *columns, int64_t pairs, double *out) {
    return sparse_paired(task, rows, columns, pairs, out);
}

EXPORT int64_t kernel_lines_size(const Lines *task) { return lines_size(task); }

EXPORT int64_t kernel_write_lines(const Lines *task) { return write_lines(task); }

EXPORT void kernel_index_items(const Index *index) { index_items(index); }

EXPORT int kernel_rows_of(const Index *index, const uint8_t *wanted, int64_t count, int64_t *rows) {
    return rows_of(index, wanted, count, rows);
}
