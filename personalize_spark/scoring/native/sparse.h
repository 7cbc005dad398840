/* Sparse items: the sums of scoring/sparse.py, in the order of its terms. They are exact in float64, so fused or not is the same. */

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
INLINE int64_t lead(const Sparse *task, const int32_t *user, double *sums, int32_t *touched) {
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

INLINE void clear(const Sparse *task, double *sums, const int32_t *touched, int64_t held) {
    if (held < 0)
        memset(sums, 0, (size_t)task->items * sizeof *sums);
    for (int64_t j = 0; j < held; j++)
        sums[touched[j]] = 0.0;
}

typedef struct { /* what goes over the users one by one */
    double *sums; /* (I,) of the user, all 0 between users */
    int32_t *touched; /* (I + 1,) */
    uint8_t *banned; /* (I,) what the user must not get, all 0 between users */
    double cut; /* n items have at least this */
    int room;
    Exact best; /* of what was looked at */
} Sums;

/* What is held in exact order, cut to n. */
INLINE void settle_sums(const Sparse *task, Sums *work) {
    Exact *best = &work->best;
    best->held = best_of(best, (int)task->n, task->ranks);
    for (int i = 0; i < best->held; i++) {
        best->products[i] = best->entries[i].product;
        best->items[i] = best->entries[i].item;
    }
    if (best->held == task->n)
        work->cut = best->products[best->held - 1];
}

/* An item that may be among the best n, if the user may get it. */
INLINE void offer(const Sparse *task, Sums *work, const uint8_t *mask, int32_t item, double product) {
    Exact *best = &work->best;
    if (product < work->cut || work->banned[item] || (mask && !(mask[item >> 3] & 0x80 >> (item & 7))))
        return;
    best->products[best->held] = product;
    best->items[best->held++] = item;
    if (best->held < work->room)
        return;
    double cut = cut_down(best, (int)task->n);
    work->cut = cut > work->cut ? cut : work->cut;
    if (best->held > work->room - task->n) /* ties, which no cut parts */
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

INLINE void look_at_all(const Sparse *task, Sums *work, const uint8_t *mask) {
    const double *sums = work->sums, *offsets = task->offsets;
    for (int64_t start = 0; start < task->items; start += STEP) {
        int64_t stop = start + STEP;
        if (stop > task->items)
            stop = task->items;
        else if (!any_reaches(sums + start, offsets + start, work->cut))
            continue;
        for (int64_t item = start; item < stop; item++)
            if (sums[item] > 0.0)
                offer(task, work, mask, (int32_t)item, sums[item] + offsets[item]);
    }
}

/* The best n of the items whose sum is above 0, and of the others, which come by their offsets. */
INLINE void best_of_user(const Sparse *task, int64_t user, Sums *work, int64_t held) {
    const uint8_t *mask = task->included ? task->included + task->mask[user] * task->stride : NULL;
    Exact *best = &work->best;
    best->held = 0;
    work->cut = -INFINITY;
    if (held < 0)
        look_at_all(task, work, mask);
    for (int64_t j = 0; j < held; j++)
        offer(task, work, mask, work->touched[j], work->sums[work->touched[j]] + task->offsets[work->touched[j]]);
    settle_sums(task, work);
    for (int64_t j = 0, more = 0; j < task->items && more < task->n; j++) {
        int32_t item = task->order[j];
        if (task->offsets[item] < work->cut)
            break; /* as are all that follow */
        if (work->sums[item] > 0.0)
            continue;
        int before = best->held;
        offer(task, work, mask, item, task->offsets[item]);
        more += best->held != before;
    }
    settle_sums(task, work);
    memcpy(task->best + user * task->n, best->items, (size_t)best->held * sizeof *best->items);
    memcpy(task->products + user * task->n, best->products, (size_t)best->held * sizeof *best->products);
}

INLINE void ban(const Sparse *task, int64_t user, uint8_t *banned, uint8_t set) {
    if (!task->excluded_starts)
        return;
    for (int64_t j = task->excluded_starts[user]; j < task->excluded_starts[user + 1]; j++)
        if (task->excluded[j] < task->items)
            banned[task->excluded[j]] = set;
}

INLINE int sparse_search(const Sparse *task) {
    size_t items = (size_t)task->items + 1;
    Sums work = {.room = (int)(2 * task->n + 64)};
    work.sums = calloc(items, sizeof *work.sums);
    work.touched = malloc(items * sizeof *work.touched);
    work.banned = calloc(items, 1);
    char *memory = malloc(exact_size(work.room));
    int failed = !work.sums || !work.touched || !work.banned || !memory ? -1 : 0;
    if (!failed)
        work.best = exact_in(memory, work.room);
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
    free(memory);
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
