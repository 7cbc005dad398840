/* The int8 screen and the float64 product of scoring/, compiled: same items, same products, same bits as numpy. And what trains: solver.h and moments.h; what writes: lines.h.

   Plain C11, no Python.h: scoring/kernel.py loads it by ctypes. What is proved of it is in scoring/bounds.py, why it is so in
   docs/decisions/0009-int8-screen.md. The search is written once and instantiated for each level of instructions; which of
   these the processor and the system have is asked of CPUID and XGETBV, or of getauxval: compilers' own
   __builtin_cpu_supports is wrong under some of them. A level must also agree with portable C before it is used. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 5 /* of what is called from Python: scoring/kernel.py has the same number */

#define INLINE static inline __attribute__((always_inline))
#define ITEMS 64 /* of a block: they share a scale, and a bit each of one word */
#define LANES 16 /* items of a panel, a quarter of a block */
#define TILE 8 /* blocks that all users of a batch go over before the next ones */
#define FIRST 16 /* blocks, at least, that the first cut is guessed from */
#define MOST_FIRST 128
#define MOST_GROUP 6 /* users that a level multiplies with a block at once, at most */
#define BATCH 256 /* users that go over the tiles together, at most */
#define MEMORY (8 << 20) /* bytes of the pools of a batch, if it has more than a few users */
#define ABREAST 64 /* of these that are counted at once */
#define COUNTED 400 /* survivors that are ordered by counting, which beats sorting while they are few */

typedef struct {
    /* items, I rows in B = ceil(I / 64) blocks */
    const int8_t *rows; /* (B, 4 panels, quads, 16 items, 4 coordinates) */
    const double *blocks; /* (B, 3): scale, largest length of a quantised item, largest residual */
    const float *norms; /* (I,) descending bounds */
    const float *factors; /* (I, rank) */
    const int32_t *ranks; /* (I,) */
    const uint64_t *included; /* (B,) a bit an item, or NULL: all */
    int64_t items;
    /* users */
    const float *users; /* (U, rank) */
    const double *turned; /* (U, rank) in the basis of the quantised items */
    const int64_t *excluded_starts; /* (U + 1,) or NULL: nothing is excluded */
    const int32_t *excluded; /* rows of items, ascending within a user */
    int64_t count; /* U */
    int64_t rank, n;
    /* the lists, (U, n), filled with -1 and -inf */
    int32_t *best;
    double *products;
} Task;

#include "lines.h"
#include "moments.h"
#include "solver.h"

typedef struct { /* what one user has found: bounds of products of items that can still be among the best n */
    double *low, *high;
    int32_t *item;
    int held;
} Pool;

typedef struct {
    double scale, length, residual; /* of the quantised vector; the last two are upper bounds of |w'| and |w' - w^| */
    double cut; /* n distinct items have at least this product */
    int64_t cursor; /* the first excluded item that is not behind us */
    Pool pool;
} User;

typedef void Dots(const int8_t *block, const uint8_t *const *users, int64_t quads, const int32_t *start, int32_t *out);
typedef uint64_t Above(const int32_t *dots, int32_t below);

/* ---- the float64 product, by halving: the bits of scoring/products.py. Its terms are exact, so fused or not is the same. */

INLINE double halved(const double *user, const float *item, int64_t rank, int64_t half, double *sums) {
    if (!half)
        return rank ? user[0] * (double)item[0] : 0.0;
    int64_t both = rank - half;
    for (int64_t j = 0; j < both; j++)
        sums[j] = user[j] * (double)item[j] + user[j + half] * (double)item[j + half];
    for (int64_t j = both; j < half; j++)
        sums[j] = user[j] * (double)item[j] + 0.0;
    for (int64_t width = half >> 1; width; width >>= 1)
        for (int64_t j = 0; j < width; j++)
            sums[j] += sums[j + width];
    return sums[0];
}

typedef double Four __attribute__((vector_size(32)));

/* Numbers j to j + 3 of the first sums. */
INLINE void first_sums(const double *user, const float *item, int j, Four *sums) {
    Four left, right;
    memcpy(&left, user + j, sizeof left);
    memcpy(&right, user + j + 32, sizeof right);
    *sums = left * (Four){item[j], item[j + 1], item[j + 2], item[j + 3]} +
            right * (Four){item[j + 32], item[j + 33], item[j + 34], item[j + 35]};
}

INLINE double halved_64(const double *user, const float *item) {
    Four sums[8];
    for (int j = 0; j < 8; j++)
        first_sums(user, item, 4 * j, &sums[j]);
    for (int width = 4; width; width >>= 1)
        for (int j = 0; j < width; j++)
            sums[j] += sums[j + width];
    return (sums[0][0] + sums[0][2]) + (sums[0][1] + sums[0][3]);
}

INLINE int64_t half_of(int64_t rank) {
    int64_t power = 1;
    while (power < rank)
        power <<= 1;
    return power >> 1;
}

INLINE void widen(const float *user, int64_t rank, double *wide) {
    for (int64_t j = 0; j < rank; j++)
        wide[j] = user[j];
}

INLINE double product(const double *wide, const float *item, int64_t rank, int64_t half, double *sums) {
    return rank == 64 ? halved_64(wide, item) : halved(wide, item, rank, half, sums);
}

INLINE int paired(const float *users, const int64_t *rows, const float *items, const int64_t *columns, int64_t pairs,
                  int64_t rank, double *out) {
    int64_t half = half_of(rank);
    double *wide = malloc((size_t)(rank + half + 2) * sizeof *wide);
    if (!wide)
        return -1;
    for (int64_t i = 0; i < pairs; i++) {
        if (!i || rows[i] != rows[i - 1])
            widen(users + rows[i] * rank, rank, wide);
        if (i + 8 < pairs)
            for (int64_t j = 0; j < rank; j += 16)
                __builtin_prefetch(items + columns[i + 8] * rank + j);
        out[i] = product(wide, items + columns[i] * rank, rank, half, wide + rank);
    }
    free(wide);
    return 0;
}

/* ---- the exact order: descending product, ties by ascending rank */

typedef struct {
    double product;
    int32_t rank, item;
} Entry;

INLINE int ahead(const Entry *a, const Entry *b) {
    return a->product > b->product || (a->product == b->product && a->rank < b->rank);
}

/* By merging; what is merged away from is `spare`. */
static void sorted(Entry *entries, int held, Entry *spare) {
    enum { RUN = 8 };
    for (int start = 0; start < held; start += RUN)
        for (int i = start + 1; i < start + RUN && i < held; i++) {
            Entry entry = entries[i];
            int place = i;
            for (; place > start && ahead(&entry, &entries[place - 1]); place--)
                entries[place] = entries[place - 1];
            entries[place] = entry;
        }
    Entry *from = entries, *to = spare;
    for (int width = RUN; width < held; width *= 2) {
        for (int start = 0; start < held; start += 2 * width) {
            int middle = start + width < held ? start + width : held, stop = middle + width < held ? middle + width : held;
            int left = start, right = middle;
            for (int i = start; i < stop; i++) {
                int second = left == middle || (right < stop && ahead(&from[right], &from[left]));
                to[i] = from[second ? right : left];
                right += second;
                left += !second;
            }
        }
        Entry *other = from;
        from = to;
        to = other;
    }
    if (from != entries)
        memcpy(entries, from, (size_t)held * sizeof *entries);
}

/* Rounded to float32, products keep their order or tie. So where none tie, each one's place is the count of those above it. */
INLINE void order(Entry *entries, int held, Entry *spare) {
    float keys[COUNTED + ABREAST];
    int32_t places[COUNTED + ABREAST];
    uint8_t taken[COUNTED];
    if (held > COUNTED) {
        sorted(entries, held, spare);
        return;
    }
    for (int j = 0; j < held; j++) {
        keys[j] = (float)entries[j].product;
        taken[j] = 0;
    }
    for (int j = held; j < held + ABREAST; j++)
        keys[j] = 0;
    for (int first = 0; first < held; first += ABREAST) {
        int32_t counts[ABREAST] = {0};
        for (int i = 0; i < held; i++)
            for (int j = 0; j < ABREAST; j++)
                counts[j] += keys[i] > keys[first + j];
        memcpy(places + first, counts, sizeof counts);
    }
    int ties = 0;
    for (int j = 0; j < held; j++) {
        ties |= taken[places[j]];
        taken[places[j]] = 1;
        spare[places[j]] = entries[j];
    }
    if (ties)
        sorted(entries, held, spare);
    else
        memcpy(entries, spare, (size_t)held * sizeof *entries);
}

/* ---- pools */

/* A value that at least n of the m values reach, near the largest such one: n <= m. It is sought among the values rounded down to float32. */
INLINE double reached_by(const double *values, int m, int n, float *rounded) {
    float low = INFINITY, high = -INFINITY;
    for (int i = 0; i < m; i++) {
        double under = values[i] - (fabs(values[i]) * 0x1p-22 + 0x1p-140);
        rounded[i] = under > FLT_MAX ? FLT_MAX : (float)under;
        low = rounded[i] < low ? rounded[i] : low;
        high = rounded[i] > high ? rounded[i] : high;
    }
    for (int step = 0; step < 14; step++) {
        float middle = 0.5f * low + 0.5f * high;
        int32_t count = 0;
        for (int i = 0; i < m; i++)
            count += rounded[i] >= middle;
        if (count < n)
            high = middle;
        else
            low = middle;
        if (count == n)
            break;
    }
    return low;
}

INLINE void tighten(User *user, int n, float *rounded) {
    Pool *pool = &user->pool;
    if (pool->held >= n) {
        double cut = reached_by(pool->low, pool->held, n, rounded);
        user->cut = cut > user->cut ? cut : user->cut;
    }
    int kept = 0;
    for (int i = 0; i < pool->held; i++) {
        pool->low[kept] = pool->low[i];
        pool->high[kept] = pool->high[i];
        pool->item[kept] = pool->item[i];
        kept += pool->high[i] >= user->cut;
    }
    pool->held = kept;
}

/* The best n of what a user holds, in exact order; returns how many they are. */
INLINE int settle(const Task *task, const User *user, const float *vector, double *wide, Entry *entries) {
    const Pool *pool = &user->pool;
    int64_t rank = task->rank, half = half_of(rank);
    widen(vector, rank, wide);
    for (int i = 0; i < pool->held; i++) {
        if (i + 8 < pool->held)
            for (int64_t j = 0; j < rank; j += 16)
                __builtin_prefetch(task->factors + pool->item[i + 8] * rank + j);
        int32_t item = pool->item[i];
        double exact = product(wide, task->factors + item * rank, rank, half, wide + rank);
        entries[i] = (Entry){exact, task->ranks[item], item};
    }
    order(entries, pool->held, entries + pool->held);
    return pool->held < task->n ? pool->held : (int)task->n;
}

/* More than the pool is for: bounds that are too near each other, or ties. Exact products and ranks leave n. */
INLINE void shrink(const Task *task, User *user, const float *vector, double *wide, Entry *entries) {
    Pool *pool = &user->pool;
    pool->held = settle(task, user, vector, wide, entries);
    for (int i = 0; i < pool->held; i++) {
        pool->low[i] = pool->high[i] = entries[i].product;
        pool->item[i] = entries[i].item;
    }
    if (pool->held == task->n)
        user->cut = pool->low[pool->held - 1];
}

/* ---- users and blocks */

INLINE void quantise(const double *vector, int64_t rank, int limit, int bias, User *user, uint8_t *row) {
    double largest = 0, length = 0, residual = 0;
    for (int64_t j = 0; j < rank; j++) {
        double size = fabs(vector[j]);
        largest = size > largest ? size : largest;
        length += vector[j] * vector[j];
    }
    user->scale = largest > 0 ? largest / limit : 1.0;
    double inverse = 1 / user->scale;
    for (int64_t j = 0; j < rank; j++) {
        /* to the nearest whole number, whatever it does with halves: the residual is measured */
        int whole = (int)(vector[j] * inverse + limit + 1.5) - limit - 1;
        whole = whole > limit ? limit : whole < -limit ? -limit : whole;
        double rest = vector[j] - user->scale * whole;
        residual += rest * rest;
        row[j] = (uint8_t)(whole + bias);
    }
    user->length = sqrt(length) * (1 + 0x1p-20);
    user->residual = sqrt(residual) * (1 + 0x1p-20);
}

INLINE double margin(const Task *task, const User *user, int64_t block) {
    const double *of = task->blocks + 3 * block;
    return user->residual * of[1] + user->length * of[2];
}

/* An int that no dot product of an item with upper bound >= cut is at or below: its upper bound is scale * dot + margin.
   Rounding down spares one whole unit, far more than the roundings of these three operations. */
INLINE int32_t below(double cut, double margin, double scale) {
    double least = floor((cut - margin) / scale) - 1;
    return least >= 2147483647.0 ? INT32_MAX : least > -2147483648.0 ? (int32_t)least : INT32_MIN;
}

/* The items of a block that a user may get. Blocks come in ascending order. */
INLINE uint64_t allowed(const Task *task, User *user, int64_t row, int64_t block) {
    uint64_t bits = task->included ? task->included[block] : ~(uint64_t)0;
    int64_t first = block * ITEMS;
    if (task->items - first < ITEMS)
        bits &= ((uint64_t)1 << (task->items - first)) - 1;
    if (!task->excluded_starts)
        return bits;
    int64_t end = task->excluded_starts[row + 1];
    while (user->cursor < end && task->excluded[user->cursor] < first)
        user->cursor++;
    for (int64_t at = user->cursor; at < end && task->excluded[at] < first + ITEMS; at++)
        bits &= ~((uint64_t)1 << (task->excluded[at] - first));
    return bits;
}

INLINE void hold(const Task *task, User *user, int64_t block, const int32_t *dots, uint64_t bits) {
    double slack = margin(task, user, block), scale = user->scale * task->blocks[3 * block];
    Pool *pool = &user->pool;
    for (; bits; bits &= bits - 1) {
        int at = __builtin_ctzll(bits);
        double near = scale * dots[at];
        pool->low[pool->held] = near - slack;
        pool->high[pool->held] = near + slack;
        pool->item[pool->held++] = (int32_t)(block * ITEMS + at);
    }
}

/* The first cut: the n-th of the lower bounds of distinct items, each the best of its group. */
INLINE void guess(const Task *task, User *user, int64_t row, int64_t first, const int32_t *dots, double *bounds, float *rounded) {
    int depth = first * LANES >= 3 * task->n ? ITEMS / LANES : 1, width = ITEMS / depth;
    int64_t cursor = user->cursor;
    int held = 0;
    for (int64_t block = 0; block < first; block++) {
        double slack = margin(task, user, block), scale = user->scale * task->blocks[3 * block];
        uint64_t bits = allowed(task, user, row, block);
        int32_t maxima[ITEMS];
        for (int i = 0; i < ITEMS; i++)
            maxima[i] = dots[block * ITEMS + i];
        if (bits != ~(uint64_t)0)
            for (int i = 0; i < ITEMS; i++)
                maxima[i] = bits >> i & 1 ? maxima[i] : INT32_MIN;
        for (int part = 1; part < depth; part++)
            for (int i = 0; i < LANES; i++)
                maxima[i] = maxima[part * LANES + i] > maxima[i] ? maxima[part * LANES + i] : maxima[i];
        for (int i = 0; i < width; i++) {
            bounds[held] = scale * maxima[i] - slack;
            held += bits == ~(uint64_t)0 || maxima[i] != INT32_MIN;
        }
    }
    user->cursor = cursor;
    if (held >= task->n)
        user->cut = reached_by(bounds, held, (int)task->n, rounded);
}

/* ---- the search */

typedef struct {
    User users[BATCH];
    int active[BATCH];
    uint8_t *rows; /* quantised users, `stride` bytes each, and one of ones */
    int64_t stride;
    int32_t *dots; /* of a group of users with the first blocks */
    double *wide; /* a user's vector, and room for sums */
    double *bounds;
    float *rounded;
    Entry *entries;
    char *pools;
} Work;

INLINE int64_t first_blocks(const Task *task) {
    int64_t blocks = (task->items + ITEMS - 1) / ITEMS, first = (3 * task->n + LANES - 1) / LANES;
    first = first < FIRST ? FIRST : first > MOST_FIRST ? MOST_FIRST : first;
    return first < blocks ? first : blocks;
}

INLINE size_t aligned(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* One piece of memory for all of it; NULL: there is none. */
INLINE Work *open_work(const Task *task, int64_t *batch, int64_t *room) {
    int64_t first = first_blocks(task), cap = 4 * task->n;
    *room = cap + (first > TILE ? first : TILE) * ITEMS;
    size_t pool = aligned((size_t)*room * 20);
    *batch = (int64_t)(MEMORY / pool) < BATCH ? (int64_t)(MEMORY / pool) : BATCH;
    *batch = *batch < 12 ? 12 : *batch;
    *batch = *batch > task->count ? task->count : *batch;
    int64_t stride = (task->rank + 3) / 4 * 4;
    size_t rows = aligned((size_t)(*batch + 1) * stride), dots = aligned((size_t)MOST_GROUP * first * ITEMS * 4);
    size_t wide = aligned((size_t)(task->rank + half_of(task->rank) + 2) * 8), bounds = aligned((size_t)first * ITEMS * 8);
    size_t rounded = aligned((size_t)*room * 4);
    size_t entries = aligned((size_t)*room * 2 * sizeof(Entry)), head = aligned(sizeof(Work));
    char *memory = malloc(head + rows + dots + wide + bounds + rounded + entries + (size_t)*batch * pool + 64);
    if (!memory)
        return NULL;
    Work *work = (Work *)memory;
    memory += head;
    *work = (Work){.rows = (uint8_t *)memory, .stride = stride, .dots = (int32_t *)(memory + rows)};
    memory += rows + dots;
    work->wide = (double *)memory;
    work->bounds = (double *)(memory + wide);
    work->rounded = (float *)(memory + wide + bounds);
    work->entries = (Entry *)(memory + wide + bounds + rounded);
    work->pools = memory + wide + bounds + rounded + entries;
    for (int64_t i = 0; i < *batch; i++) {
        char *at = work->pools + i * pool;
        work->users[i].pool = (Pool){(double *)at, (double *)(at + *room * 8), (int32_t *)(at + *room * 16), 0};
    }
    memset(work->rows, 0, rows);
    return work;
}

/* Multiply a group of users with a block; the last one stands in for those that a group lacks. */
INLINE void multiply(const Task *task, const Work *work, Dots *dots, int group, int count, const int *who, int64_t block,
                     const int32_t *start, int32_t *out) {
    const uint8_t *rows[MOST_GROUP];
    for (int i = 0; i < group; i++)
        rows[i] = work->rows + who[i < count ? i : count - 1] * work->stride;
    dots(task->rows + block * ITEMS * work->stride, rows, work->stride / 4, start, out);
}

/* Where a level's users are shifted to have no sign, each item's dot product starts at what takes the shift back. */
INLINE void starts(const Task *task, const Work *work, Dots *dots, int group, int bias, int ones, int64_t block, int32_t *out) {
    static const int32_t zeros[ITEMS] = {0};
    int32_t sums[MOST_GROUP * ITEMS];
    memset(out, 0, ITEMS * sizeof *out);
    if (!bias)
        return;
    multiply(task, work, dots, group, 1, &ones, block, zeros, sums);
    for (int i = 0; i < ITEMS; i++)
        out[i] = -bias * sums[i];
}

INLINE void begin(const Task *task, Work *work, Dots *dots, Above *above, int group, int bias, int count, int ones,
                  int64_t low, int64_t first) {
    int32_t start[MOST_FIRST * ITEMS];
    int32_t out[MOST_GROUP * ITEMS];
    for (int64_t block = 0; block < first; block++)
        starts(task, work, dots, group, bias, ones, block, start + block * ITEMS);
    for (int g = 0; g < count; g += group) {
        int some = count - g < group ? count - g : group;
        for (int64_t block = 0; block < first; block++) {
            multiply(task, work, dots, group, some, work->active + g, block, start + block * ITEMS, out);
            for (int i = 0; i < some; i++)
                memcpy(work->dots + (i * first + block) * ITEMS, out + i * ITEMS, ITEMS * sizeof *out);
        }
        for (int i = 0; i < some; i++) {
            int who = work->active[g + i];
            User *user = work->users + who;
            const int32_t *found = work->dots + i * first * ITEMS;
            guess(task, user, low + who, first, found, work->bounds, work->rounded);
            for (int64_t block = 0; block < first; block++) {
                int32_t least = below(user->cut, margin(task, user, block), user->scale * task->blocks[3 * block]);
                uint64_t bits = above(found + block * ITEMS, least);
                if (bits && (bits &= allowed(task, user, low + who, block)))
                    hold(task, user, block, found + block * ITEMS, bits);
            }
        }
    }
}

INLINE void step(const Task *task, Work *work, Dots *dots, Above *above, int group, int bias, int count, int ones,
                 int64_t low, int64_t from, int64_t to) {
    int32_t start[TILE * ITEMS], out[MOST_GROUP * ITEMS];
    for (int64_t block = from; block < to; block++)
        starts(task, work, dots, group, bias, ones, block, start + (block - from) * ITEMS);
    for (int g = 0; g < count; g += group) {
        int some = count - g < group ? count - g : group;
        for (int64_t block = from; block < to; block++) {
            if (task->included && !task->included[block])
                continue;
            multiply(task, work, dots, group, some, work->active + g, block, start + (block - from) * ITEMS, out);
            for (int i = 0; i < some; i++) {
                int who = work->active[g + i];
                User *user = work->users + who;
                int32_t least = below(user->cut, margin(task, user, block), user->scale * task->blocks[3 * block]);
                uint64_t bits = above(out + i * ITEMS, least);
                if (__builtin_expect(bits != 0, 0) && (bits &= allowed(task, user, low + who, block)))
                    hold(task, user, block, out + i * ITEMS, bits);
            }
        }
    }
}

INLINE void trim(const Task *task, Work *work, int count, int64_t low) {
    for (int i = 0; i < count; i++) {
        int who = work->active[i];
        User *user = work->users + who;
        if (user->pool.held <= 4 * task->n)
            continue;
        tighten(user, (int)task->n, work->rounded);
        if (user->pool.held > 2 * task->n)
            shrink(task, user, task->users + (low + who) * task->rank, work->wide, work->entries);
    }
}

INLINE int going(const Task *task, Work *work, int count, int64_t block) {
    int kept = 0;
    double norm = task->norms[block * ITEMS];
    norm = norm < 0x1p140 ? norm : 0x1p140;
    for (int i = 0; i < count; i++) {
        const User *user = work->users + work->active[i];
        work->active[kept] = work->active[i];
        kept += user->length * norm >= user->cut;
    }
    return kept;
}

INLINE void finish(const Task *task, Work *work, int64_t low, int64_t batch) {
    for (int64_t i = 0; i < batch; i++) {
        User *user = work->users + i;
        tighten(user, (int)task->n, work->rounded);
        int held = settle(task, user, task->users + (low + i) * task->rank, work->wide, work->entries);
        for (int j = 0; j < held; j++) {
            task->best[(low + i) * task->n + j] = work->entries[j].item;
            task->products[(low + i) * task->n + j] = work->entries[j].product;
        }
    }
}

INLINE int search(const Task *task, Dots *dots, Above *above, int group, int limit, int bias) {
    int64_t blocks = (task->items + ITEMS - 1) / ITEMS, first = first_blocks(task), most, room;
    if (!task->count || !blocks)
        return 0;
    Work *work = open_work(task, &most, &room);
    if (!work)
        return -1;
    memset(work->rows + most * work->stride, 1, (size_t)work->stride);
    for (int64_t low = 0; low < task->count; low += most) {
        int batch = (int)(task->count - low < most ? task->count - low : most), count = 0;
        for (int i = 0; i < batch; i++) {
            User *user = work->users + i;
            user->cut = -INFINITY;
            user->cursor = task->excluded_starts ? task->excluded_starts[low + i] : 0;
            user->pool.held = 0;
            quantise(task->turned + (low + i) * task->rank, task->rank, limit, bias, user, work->rows + i * work->stride);
            work->active[count] = i;
            count += user->length > 0; /* all items tie for a zero vector: not answered here */
        }
        begin(task, work, dots, above, group, bias, count, (int)most, low, first);
        trim(task, work, count, low);
        for (int64_t block = first; block < blocks && (count = going(task, work, count, block)); block += TILE) {
            int64_t end = block + TILE < blocks ? block + TILE : blocks;
            step(task, work, dots, above, group, bias, count, (int)most, low, block, end);
            trim(task, work, count, low);
        }
        finish(task, work, low, batch);
    }
    free(work);
    return 0;
}

/* ---- the levels: dot products of a group of users with a block, and which of a block's are above a number */

#define GROUP_PORTABLE 4
INLINE void dots_portable(const int8_t *block, const uint8_t *const *users, int64_t quads, const int32_t *start, int32_t *out) {
    for (int i = 0; i < GROUP_PORTABLE; i++)
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
}
INLINE uint64_t above_portable(const int32_t *dots, int32_t below) {
    uint64_t bits = 0;
    for (int i = 0; i < ITEMS; i++)
        bits |= (uint64_t)(dots[i] > below) << i;
    return bits;
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
    target static void check_##name(const int8_t *block, const uint8_t *const *users, int64_t quads,                     \
                                    const int32_t *start, int32_t least, int32_t *out, uint64_t *bits) {                 \
        dots_##name(block, users, quads, start, out);                                                                    \
        for (int i = 0; i < group; i++)                                                                                  \
            bits[i] = above_##name(out + i * ITEMS, least);                                                              \
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
AVX2 INLINE void dots_avx2(const int8_t *block, const uint8_t *const *users, int64_t quads, const int32_t *start, int32_t *out) {
    const __m256i ones = _mm256_set1_epi16(1);
    for (int panel = 0; panel < ITEMS / LANES; panel++) {
        __m256i left[GROUP_AVX2], right[GROUP_AVX2];
        for (int i = 0; i < GROUP_AVX2; i++) {
            left[i] = _mm256_loadu_si256((const __m256i *)(start + panel * LANES));
            right[i] = _mm256_loadu_si256((const __m256i *)(start + panel * LANES + 8));
        }
        const int8_t *items = block + panel * quads * LANES * 4;
        for (int64_t quad = 0; quad < quads; quad++, items += LANES * 4) {
            __m256i a = _mm256_loadu_si256((const __m256i *)items), b = _mm256_loadu_si256((const __m256i *)(items + 32));
            for (int i = 0; i < GROUP_AVX2; i++) {
                int32_t four;
                memcpy(&four, users[i] + quad * 4, 4);
                __m256i user = _mm256_set1_epi32(four);
                left[i] = quad_avx2(left[i], user, a, ones);
                right[i] = quad_avx2(right[i], user, b, ones);
            }
        }
        for (int i = 0; i < GROUP_AVX2; i++) {
            _mm256_storeu_si256((__m256i *)(out + i * ITEMS + panel * LANES), left[i]);
            _mm256_storeu_si256((__m256i *)(out + i * ITEMS + panel * LANES + 8), right[i]);
        }
    }
}
AVX2 INLINE uint64_t above_avx2(const int32_t *dots, int32_t below) {
    __m256i least = _mm256_set1_epi32(below);
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) {
        __m256i more = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i *)(dots + i * 8)), least);
        bits |= (uint64_t)(uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(more)) << 8 * i;
    }
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
VNNI INLINE void dots_vnni(const int8_t *block, const uint8_t *const *users, int64_t quads, const int32_t *start, int32_t *out) {
    __m512i sums[GROUP_VNNI][4];
    for (int i = 0; i < GROUP_VNNI; i++)
        for (int panel = 0; panel < 4; panel++)
            sums[i][panel] = _mm512_loadu_si512(start + panel * LANES);
    for (int64_t quad = 0; quad < quads; quad++) {
        __m512i items[4];
        for (int panel = 0; panel < 4; panel++)
            items[panel] = _mm512_loadu_si512(block + (panel * quads + quad) * LANES * 4);
        for (int i = 0; i < GROUP_VNNI; i++) {
            int32_t four;
            memcpy(&four, users[i] + quad * 4, 4);
            __m512i user = _mm512_set1_epi32(four);
            for (int panel = 0; panel < 4; panel++)
                sums[i][panel] = quad_vnni(sums[i][panel], user, items[panel]);
        }
    }
    for (int i = 0; i < GROUP_VNNI; i++)
        for (int panel = 0; panel < 4; panel++)
            _mm512_storeu_si512(out + i * ITEMS + panel * LANES, sums[i][panel]);
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
NEON INLINE void dots_neon(const int8_t *block, const uint8_t *const *users, int64_t quads, const int32_t *start, int32_t *out) {
    for (int panel = 0; panel < ITEMS / LANES; panel++) {
        int32x4_t sums[GROUP_NEON][4];
        for (int i = 0; i < GROUP_NEON; i++)
            for (int part = 0; part < 4; part++)
                sums[i][part] = vld1q_s32(start + panel * LANES + part * 4);
        const int8_t *items = block + panel * quads * LANES * 4;
        for (int64_t quad = 0; quad < quads; quad++, items += LANES * 4)
            for (int i = 0; i < GROUP_NEON; i++) {
                int32_t four;
                memcpy(&four, users[i] + quad * 4, 4);
                int8x16_t user = vreinterpretq_s8_s32(vdupq_n_s32(four));
                for (int part = 0; part < 4; part++)
                    sums[i][part] = vdotq_s32(sums[i][part], vld1q_s8(items + part * 16), user);
            }
        for (int i = 0; i < GROUP_NEON; i++)
            for (int part = 0; part < 4; part++)
                vst1q_s32(out + i * ITEMS + panel * LANES + part * 4, sums[i][part]);
    }
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
    int (*paired)(const float *, const int64_t *, const float *, const int64_t *, int64_t, int64_t, double *);
    void (*check)(const int8_t *, const uint8_t *const *, int64_t, const int32_t *, int32_t, int32_t *, uint64_t *);
} Level;

#define ENTRY(name, shown, group, limit, bias) \
    {shown, group, limit, bias, has_##name, search_##name, solve_##name, moments_##name, paired_##name, check_##name}
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
    int32_t start[ITEMS], out[MOST_GROUP * ITEMS];
    uint64_t bits[MOST_GROUP];
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
    }
    for (int i = 0; i < ITEMS; i++)
        start[i] = 1000 * i;
    level->check(block, users, QUADS, start, 12345, out, bits);
    for (int i = 0; i < level->group; i++)
        for (int item = 0; item < ITEMS; item++) {
            int32_t sum = start[item];
            for (int j = 0; j < RANK; j++) {
                int user = level->bias ? rows[i][j] : (int8_t)rows[i][j];
                sum += user * block[((item / LANES * QUADS + j / 4) * LANES + item % LANES) * 4 + j % 4];
            }
            if (out[i * ITEMS + item] != sum || (bits[i] >> item & 1) != (sum > 12345))
                return 0;
        }
    return 1;
}

/* ---- sparse items: the sums of scoring/sparse.py, in the order of its terms. They are exact in float64, so fused or not is the same. */

typedef struct {
    /* items, I rows */
    const int64_t *starts; /* (I + 1,) of leads and weights */
    const int32_t *leads;
    const float *weights; /* above 0 */
    const float *decay; /* (width,) above 0 */
    const double *offsets; /* (I,) */
    const int32_t *order; /* (I,) by descending offset, ties by rank */
    const int32_t *ranks; /* (I,) */
    const uint8_t *included; /* masks of stride bytes, the first item of a byte highest, or NULL: all */
    const int64_t *mask; /* (U,) which of them */
    int64_t items, width, stride;
    /* users */
    const int32_t *users; /* (U, width) rows of items, -1 past the end */
    const int64_t *excluded_starts; /* (U + 1,) or NULL: nothing is excluded */
    const int32_t *excluded;
    int64_t count, n;
    /* the lists, (U, n), filled with -1 and -inf */
    int32_t *best;
    double *products;
} Sparse;

#define STEP 8 /* sums that are looked at together */
#define DENSE 6 /* terms for so many items at most: then all sums are looked at, which beats listing those that were touched */

/* The row after the one that is added up: from anywhere in memory. */
INLINE void fetch(const Sparse *task, int32_t row) {
    for (int64_t j = task->starts[row]; j < task->starts[row + 1]; j += 16) {
        __builtin_prefetch(task->leads + j);
        __builtin_prefetch(task->weights + j);
    }
}

/* Adds up what a user's items lead to; sums is all 0 before. Returns how many items were touched; where these are likely many of
   all items they are not listed: -1. */
static int64_t lead(const Sparse *task, const int32_t *user, double *sums, int32_t *touched) {
    int64_t held = 0, terms = 0, places = 0;
    for (; places < task->width && user[places] >= 0; places++)
        terms += task->starts[user[places] + 1] - task->starts[user[places]];
    int dense = terms * DENSE >= task->items;
    for (int64_t place = 0; place < places; place++) {
        double decay = task->decay[place];
        int64_t start = task->starts[user[place]], stop = task->starts[user[place] + 1];
        if (place + 1 < places)
            fetch(task, user[place + 1]);
        if (dense)
            for (int64_t j = start; j < stop; j++)
                sums[task->leads[j]] += decay * (double)task->weights[j];
        else
            for (int64_t j = start; j < stop; j++) {
                int32_t item = task->leads[j];
                touched[held] = item;
                held += sums[item] == 0.0;
                sums[item] += decay * (double)task->weights[j];
            }
    }
    return dense ? -1 : held;
}

static void clear(const Sparse *task, double *sums, const int32_t *touched, int64_t held) {
    if (held < 0)
        memset(sums, 0, (size_t)task->items * sizeof *sums);
    for (int64_t j = 0; j < held; j++)
        sums[touched[j]] = 0.0;
}

typedef struct { /* what goes over the users one by one */
    double *sums; /* (I,) of the user, all 0 between users */
    int32_t *touched; /* (I + 1,) */
    uint8_t *banned; /* (I,) what the user must not get, all 0 between users */
    User user; /* the best of what was looked at: `low` and `high` of the pool are one array, of exact products */
    int64_t room; /* of the pool */
    float *rounded; /* (room,) */
    Entry *entries; /* (2 room,) */
} Sums;

/* The pool in exact order, cut to n. */
static void settle_sums(const Sparse *task, Sums *work) {
    Pool *pool = &work->user.pool;
    for (int i = 0; i < pool->held; i++)
        work->entries[i] = (Entry){pool->low[i], task->ranks[pool->item[i]], pool->item[i]};
    order(work->entries, pool->held, work->entries + work->room);
    pool->held = pool->held < task->n ? pool->held : (int)task->n;
    for (int i = 0; i < pool->held; i++) {
        pool->low[i] = work->entries[i].product;
        pool->item[i] = work->entries[i].item;
    }
    if (pool->held == task->n)
        work->user.cut = pool->low[pool->held - 1];
}

/* An item that may be among the best n, if the user may get it. */
INLINE void offer(const Sparse *task, Sums *work, const uint8_t *mask, int32_t item, double product) {
    Pool *pool = &work->user.pool;
    if (product < work->user.cut || work->banned[item] || (mask && !(mask[item >> 3] & 0x80 >> (item & 7))))
        return;
    pool->low[pool->held] = product;
    pool->item[pool->held++] = item;
    if (pool->held < work->room)
        return;
    tighten(&work->user, (int)task->n, work->rounded);
    if (pool->held > work->room - task->n) /* ties, which no cut parts */
        settle_sums(task, work);
}

typedef double Two __attribute__((vector_size(16)));
typedef int64_t TwoBits __attribute__((vector_size(16)));

/* Whether one of `STEP` products is at least cut. */
INLINE int64_t any_reaches(const double *sums, const double *offsets, double cut) {
    TwoBits any = {0, 0};
    for (int i = 0; i < STEP; i += 2) {
        Two sum, offset;
        memcpy(&sum, sums + i, sizeof sum);
        memcpy(&offset, offsets + i, sizeof offset);
        any |= sum + offset >= (Two){cut, cut};
    }
    return any[0] | any[1];
}

static void look_at_all(const Sparse *task, Sums *work, const uint8_t *mask) {
    const double *sums = work->sums, *offsets = task->offsets;
    for (int64_t start = 0; start < task->items; start += STEP) {
        int64_t stop = start + STEP;
        if (stop > task->items)
            stop = task->items;
        else if (!any_reaches(sums + start, offsets + start, work->user.cut))
            continue;
        for (int64_t item = start; item < stop; item++)
            if (sums[item] > 0.0)
                offer(task, work, mask, (int32_t)item, sums[item] + offsets[item]);
    }
}

/* The best n of the items whose sum is above 0, and of the others, which come by their offsets. */
static void best_of_user(const Sparse *task, int64_t user, Sums *work, int64_t held) {
    const uint8_t *mask = task->included ? task->included + task->mask[user] * task->stride : NULL;
    Pool *pool = &work->user.pool;
    pool->held = 0;
    work->user.cut = -INFINITY;
    if (held < 0)
        look_at_all(task, work, mask);
    for (int64_t j = 0; j < held; j++)
        offer(task, work, mask, work->touched[j], work->sums[work->touched[j]] + task->offsets[work->touched[j]]);
    tighten(&work->user, (int)task->n, work->rounded);
    int first = pool->held;
    for (int64_t j = 0, more = 0; j < task->items && more < task->n; j++) {
        int32_t item = task->order[j];
        if (task->offsets[item] < work->user.cut)
            break; /* as are all that follow */
        if (work->sums[item] > 0.0)
            continue;
        int before = pool->held;
        offer(task, work, mask, item, task->offsets[item]);
        more += pool->held != before;
    }
    if (pool->held != first)
        tighten(&work->user, (int)task->n, work->rounded);
    settle_sums(task, work);
    memcpy(task->best + user * task->n, pool->item, (size_t)pool->held * sizeof *pool->item);
    memcpy(task->products + user * task->n, pool->low, (size_t)pool->held * sizeof *pool->low);
}

INLINE void ban(const Sparse *task, int64_t user, uint8_t *banned, uint8_t set) {
    if (!task->excluded_starts)
        return;
    for (int64_t j = task->excluded_starts[user]; j < task->excluded_starts[user + 1]; j++)
        if (task->excluded[j] < task->items)
            banned[task->excluded[j]] = set;
}

static int sparse_search(const Sparse *task) {
    size_t items = (size_t)task->items + 1;
    Sums work = {.room = 2 * task->n + 64};
    work.sums = calloc(items, sizeof *work.sums);
    work.touched = malloc(items * sizeof *work.touched);
    work.banned = calloc(items, 1);
    work.entries = malloc(2 * (size_t)work.room * sizeof *work.entries);
    work.rounded = malloc((size_t)work.room * sizeof *work.rounded);
    work.user.pool.item = malloc((size_t)work.room * sizeof *work.user.pool.item);
    work.user.pool.low = work.user.pool.high = malloc((size_t)work.room * sizeof *work.user.pool.low);
    int failed = !work.sums || !work.touched || !work.banned || !work.entries || !work.rounded || !work.user.pool.item || !work.user.pool.low ? -1 : 0;
    for (int64_t user = 0; !failed && user < task->count; user++) {
        int64_t held = lead(task, task->users + user * task->width, work.sums, work.touched);
        ban(task, user, work.banned, 1);
        best_of_user(task, user, &work, held);
        ban(task, user, work.banned, 0);
        clear(task, work.sums, work.touched, held);
    }
    free(work.sums);
    free(work.touched);
    free(work.banned);
    free(work.entries);
    free(work.rounded);
    free(work.user.pool.item);
    free(work.user.pool.low);
    return failed;
}

/* The products of listed pairs; users that follow each other in rows are added up once. */
static int sparse_paired(const Sparse *task, const int64_t *rows, const int64_t *columns, int64_t pairs, double *out) {
    double *sums = calloc((size_t)task->items + 1, sizeof *sums);
    int32_t *touched = malloc(((size_t)task->items + 1) * sizeof *touched);
    int64_t held = 0;
    if (!sums || !touched) {
        free(sums);
        free(touched);
        return -1;
    }
    for (int64_t i = 0; i < pairs; i++) {
        if (!i || rows[i] != rows[i - 1]) {
            clear(task, sums, touched, held);
            held = lead(task, task->users + rows[i] * task->width, sums, touched);
        }
        out[i] = sums[columns[i]] + task->offsets[columns[i]];
    }
    free(sums);
    free(touched);
    return 0;
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

EXPORT int kernel_solve(int level, const Systems *task) { return LEVELS[level].solve(task); }

EXPORT int kernel_moments(int level, const Moments *task) { return LEVELS[level].moments(task); }

EXPORT int kernel_sparse_search(const Sparse *task) { return sparse_search(task); }

EXPORT int kernel_sparse_paired(const Sparse *task, const int64_t *rows, const int64_t *columns, int64_t pairs, double *out) {
    return sparse_paired(task, rows, columns, pairs, out);
}

EXPORT int64_t kernel_lines_size(const Lines *task) { return lines_size(task); }

EXPORT int64_t kernel_write_lines(const Lines *task) { return write_lines(task); }
