/* What decides: float64 products, the bits of scoring/products.py, and their order. */

#define COUNTED 400 /* products that are ordered by counting, which beats sorting while they are few */

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

/* The same of entries that do not know their ranks. */
INLINE int before_it(const Entry *a, const Entry *b, const int32_t *ranks) {
    return a->product > b->product || (a->product == b->product && ranks[a->item] < ranks[b->item]);
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

/* ---- many float32 values, `WIDE` at once; behind the last one there is room for as many */

#define WIDE 32
#if defined(__x86_64__)
#define VECTOR 8 /* as AVX2 has them */
#else
#define VECTOR 4
#endif
#define VECTORS (WIDE / VECTOR)
typedef float Floats __attribute__((vector_size(4 * VECTOR)));
typedef int32_t Ints __attribute__((vector_size(4 * VECTOR)));

INLINE int padded(int count) { return (count + WIDE - 1) / WIDE * WIDE; }

INLINE void pad(float *values, int count, float with) {
    for (int i = count; i < padded(count); i++)
        values[i] = with;
}

/* How many of the values, which are padded, are at least `least`. */
INLINE int reaching(const float *values, int count, float least) {
    Ints counts[VECTORS] = {{0}};
    int32_t sum = 0;
    for (int i = 0; i < count; i += WIDE)
        for (int j = 0; j < VECTORS; j++) {
            Floats some;
            memcpy(&some, values + i + j * VECTOR, sizeof some);
            counts[j] -= some >= least;
        }
    for (int j = 1; j < VECTORS; j++)
        counts[0] += counts[j];
    for (int i = 0; i < VECTOR; i++)
        sum += counts[0][i];
    return sum;
}

INLINE void extremes(const float *values, int count, float *low, float *high) {
    Floats least, most;
    memcpy(&least, values, sizeof least);
    most = least;
    for (int i = VECTOR; i < count; i += VECTOR) {
        Floats some;
        memcpy(&some, values + i, sizeof some);
        Ints under = some < least, over = some > most;
        least = (Floats)(((Ints)some & under) | ((Ints)least & ~under));
        most = (Floats)(((Ints)some & over) | ((Ints)most & ~over));
    }
    *low = least[0], *high = most[0];
    for (int i = 1; i < VECTOR; i++) {
        *low = least[i] < *low ? least[i] : *low;
        *high = most[i] > *high ? most[i] : *high;
    }
}

/* A value that at least n of the `count` values reach, near the largest such one: n <= count. */
INLINE float reached_by(float *values, int count, int n) {
    float low, high;
    int whole = padded(count);
    pad(values, count, values[0]);
    extremes(values, whole, &low, &high);
    pad(values, count, -INFINITY);
    for (int step = 0; step < 14; step++) {
        float middle = 0.5f * low + 0.5f * high;
        int reach = reaching(values, whole, middle);
        if (reach < n)
            high = middle;
        else
            low = middle;
        if (reach == n)
            break;
    }
    return low;
}

/* ---- exact products, and their order: descending, ties by ascending rank */

typedef struct {
    double *products;
    int32_t *items;
    int held;
    float *keys; /* room for whole vectors */
    int32_t *places;
    Entry *entries; /* twice as many: the best ones, once they are ordered */
} Exact;

INLINE size_t aligned(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

INLINE size_t exact_size(int64_t room) { return aligned((size_t)(room + 2 * WIDE) * (8 + 4 + 4 + 4 + 2 * sizeof(Entry))); }

INLINE Exact exact_in(char *memory, int64_t room) {
    size_t count = (size_t)room + 2 * WIDE;
    Entry *entries = (Entry *)memory;
    double *products = (double *)(entries + 2 * count);
    float *keys = (float *)(products + count);
    return (Exact){products, (int32_t *)(keys + count), 0, keys, (int32_t *)(keys + 2 * count), entries};
}

/* Each one's place is the count of those above it, or the next one that is free. Who has each place; 0 if so many tie that sorting is better. */
INLINE int counted(float *keys, int held, int32_t *places) {
    int ties = 0;
    pad(keys, held, -INFINITY);
    memset(places, 0xFF, (size_t)held * sizeof *places);
    for (int first = 0; first < held; first += WIDE) {
        Floats mine[VECTORS];
        Ints sums[VECTORS] = {{0}};
        int32_t above[WIDE];
        memcpy(mine, keys + first, sizeof mine);
        for (int i = 0; i < held; i++)
            for (int j = 0; j < VECTORS; j++)
                sums[j] -= keys[i] > mine[j];
        memcpy(above, sums, sizeof above);
        for (int i = 0; i < WIDE && first + i < held; i++) {
            int place = above[i];
            for (; places[place] >= 0; place++)
                if (++ties > held)
                    return 0;
            places[place] = first + i;
        }
    }
    return 1;
}

/* Leave the best n, and few more: rounded to float32, products keep their order or tie. n of them are above what this returns. */
INLINE double cut_down(Exact *exact, int n) {
    for (int i = 0; i < exact->held; i++)
        exact->keys[i] = (float)exact->products[i];
    if (exact->held <= n)
        return -INFINITY;
    float least = reached_by(exact->keys, exact->held, n);
    int kept = 0;
    for (int i = 0; i < exact->held; i++) {
        float key = exact->keys[kept] = exact->keys[i];
        exact->products[kept] = exact->products[i];
        exact->items[kept] = exact->items[i];
        kept += key >= least;
    }
    exact->held = kept;
    return nextafterf(least, -INFINITY);
}

/* The best n in exact order; returns how many they are. What float32 parts is counted; what ties there goes up by insertion, or all is sorted. */
INLINE int best_of(Exact *exact, int n, const int32_t *ranks) {
    cut_down(exact, n);
    int held = exact->held, wanted = held < n ? held : n;
    if (held <= COUNTED && counted(exact->keys, held, exact->places)) {
        Entry *entries = exact->entries;
        float before = 0;
        for (int i = 0; i < held; i++) {
            int which = exact->places[i];
            float key = exact->keys[which];
            entries[i] = (Entry){exact->products[which], 0, exact->items[which]};
            if (i && key == before) {
                Entry entry = entries[i];
                int at = i;
                for (; at && (float)entries[at - 1].product == key && before_it(&entry, &entries[at - 1], ranks); at--)
                    entries[at] = entries[at - 1];
                entries[at] = entry;
            }
            before = key;
        }
        return wanted;
    }
    for (int i = 0; i < held; i++)
        exact->entries[i] = (Entry){exact->products[i], ranks[exact->items[i]], exact->items[i]};
    sorted(exact->entries, held, exact->entries + held);
    return wanted;
}

/* The order of each list by itself: where its values lie, by descending value, then rank. */
INLINE int ordered(const double *values, const int64_t *starts, int64_t lists, const int32_t *ranks, int64_t *out) {
    int64_t longest = 0;
    for (int64_t list = 0; list < lists; list++)
        longest = starts[list + 1] - starts[list] > longest ? starts[list + 1] - starts[list] : longest;
    char *memory = malloc(exact_size(longest));
    if (!memory)
        return -1;
    Exact exact = exact_in(memory, longest);
    for (int64_t list = 0; list < lists; list++) {
        int64_t start = starts[list];
        exact.held = (int)(starts[list + 1] - start);
        memcpy(exact.products, values + start, (size_t)exact.held * sizeof *values);
        for (int i = 0; i < exact.held; i++)
            exact.items[i] = i;
        int held = best_of(&exact, exact.held, ranks + start);
        for (int i = 0; i < held; i++)
            out[start + i] = start + exact.entries[i].item;
    }
    free(memory);
    return 0;
}
