/* The best n items of each user: an int8 screen under a float64 product, by the proof in scoring/bounds.py. Written once: a level of
   instructions gives `search` its two functions, Dots and Above. */

#define ITEMS 64 /* of a block: they share a scale, and a bit each of one word */
#define LANES 16 /* items of a panel, a quarter of a block */
#define TILE 8 /* blocks that all users of a batch go over before the next ones */
#define FIRST 16 /* blocks, at least, that the first cut is guessed from */
#define MOST_FIRST 128
#define MOST_GROUP 8 /* users that a level multiplies with a block at once, at most */
#define BATCH 256 /* users that go over the tiles together, at most */
#define MEMORY (8 << 20) /* bytes of the pools of a batch, if it has more than a few users */
#define MOST_HELD 4 /* times n: what a pool holds between tiles */
#define AHEAD 16 /* survivors, whose factors are fetched before they are multiplied */
#define ROUNDED 0x1p-18 /* relative: more than float32 rounds off a bound */
#define TINY 0x1p-90f /* more than float32 loses of a bound below its range */

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

typedef struct { /* what one user has found: bounds of products of items that can still be among the best n, in the user's unit */
    float *low, *high; /* room for whole vectors */
    int32_t *item;
    int held;
} Pool;

typedef struct {
    double unit; /* what all that follows is in: bounds are float32 then, and none overflows or vanishes */
    float length, residual; /* of the vector and of what quantising takes from it: upper bounds, with room for what float32 rounds */
    float cut; /* n distinct items have at least this product */
    int64_t cursor; /* the first excluded item that is not behind us */
    Pool pool;
} User;

typedef struct { /* of items, in units of the largest norm of an item */
    float scale, inverse, length, residual;
} Block;

/* The products of `group` users with a block, and of each user a bit for each that is above its `least`; without `least` no bits. */
typedef void Dots(const int8_t *block, const uint8_t *const *users, int group, int64_t quads, const int32_t *start,
                  const int32_t *least, int32_t *out, uint64_t *bits);
typedef uint64_t Above(const int32_t *dots, int32_t least);

/* ---- users and blocks */

INLINE double longest(const Task *task) { return task->norms[0] < 0x1p140 ? task->norms[0] : 0x1p140; }

INLINE void quantise(const Task *task, const double *vector, int limit, int bias, User *user, uint8_t *row) {
    double largest = 0, length = 0, residual = 0;
    for (int64_t j = 0; j < task->rank; j++) {
        double size = fabs(vector[j]);
        largest = size > largest ? size : largest;
        length += vector[j] * vector[j];
    }
    double scale = largest > 0 ? largest / limit : 1.0, inverse = 1 / scale;
    for (int64_t j = 0; j < task->rank; j++) {
        /* to the nearest whole number, whatever it does with halves: the residual is measured */
        int whole = (int)(vector[j] * inverse + limit + 1.5) - limit - 1;
        whole = whole > limit ? limit : whole < -limit ? -limit : whole;
        double rest = vector[j] - scale * whole;
        residual += rest * rest;
        row[j] = (uint8_t)(whole + bias);
    }
    length = sqrt(length) / scale * (1 + ROUNDED);
    user->unit = scale * longest(task);
    user->length = (float)length;
    user->residual = (float)((sqrt(residual) / scale + 2 * ROUNDED * length) * (1 + ROUNDED));
}

INLINE Block block_of(const Task *task, int64_t block) {
    const double *of = task->blocks + 3 * block;
    double unit = 1 / longest(task), scale = of[1] > 0 ? of[0] * unit : 0;
    return (Block){(float)scale, (float)(1 / (scale > 0x1p-126 ? scale : 0x1p-126)), (float)(of[1] * unit), (float)(of[2] * unit)};
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

/* ---- pools */

INLINE void hold(Pool *pool, float scale, float margin, int64_t block, const int32_t *dots, uint64_t bits) {
    for (; bits; bits &= bits - 1) {
        int at = __builtin_ctzll(bits);
        float near = scale * (float)dots[at];
        pool->low[pool->held] = near - margin;
        pool->high[pool->held] = near + margin;
        pool->item[pool->held++] = (int32_t)(block * ITEMS + at);
    }
}

INLINE void tighten(User *user, int n) {
    Pool *pool = &user->pool;
    if (pool->held >= n) {
        float cut = reached_by(pool->low, pool->held, n);
        user->cut = cut > user->cut ? cut : user->cut;
    }
    int kept = 0;
    for (int i = 0; i < pool->held; i++) {
        float high = pool->high[kept] = pool->high[i];
        pool->low[kept] = pool->low[i];
        pool->item[kept] = pool->item[i];
        kept += high >= user->cut;
    }
    pool->held = kept;
}

/* ---- the search */

typedef struct {
    User users[BATCH];
    int active[BATCH];
    uint8_t *rows; /* quantised users, `stride` bytes each, and one of ones */
    int64_t stride;
    int32_t *dots; /* of a group of users with the first blocks */
    double *wide; /* a user's vector, and room for sums */
    float *bounds;
    Pool first; /* what a user finds in the first blocks */
    Exact exact;
} Work;

INLINE int64_t first_blocks(const Task *task) {
    int64_t blocks = (task->items + ITEMS - 1) / ITEMS, first = (3 * task->n + LANES - 1) / LANES;
    first = first < FIRST ? FIRST : first > MOST_FIRST ? MOST_FIRST : first;
    return first < blocks ? first : blocks;
}

INLINE Pool pool_in(char *memory, int64_t room) {
    return (Pool){(float *)memory, (float *)memory + room, (int32_t *)memory + 2 * room, 0};
}

/* One piece of memory for all of it; NULL: there is none. */
INLINE Work *open_work(const Task *task, int64_t *batch) {
    int64_t first = first_blocks(task) * ITEMS, room = padded((int)(MOST_HELD * task->n)) + TILE * ITEMS;
    size_t pool = (size_t)room * 12;
    *batch = (int64_t)(MEMORY / pool) < BATCH ? (int64_t)(MEMORY / pool) : BATCH;
    *batch = *batch < 12 ? 12 : *batch;
    *batch = *batch > task->count ? task->count : *batch;
    int64_t stride = (task->rank + 3) / 4 * 4, largest = first > room ? first : room;
    size_t rows = aligned((size_t)(*batch + 1) * stride), dots = aligned((size_t)MOST_GROUP * first * 4);
    size_t wide = aligned((size_t)(task->rank + half_of(task->rank) + 2) * 8), bounds = aligned((size_t)first * 4);
    size_t head = aligned(sizeof(Work)), scratch = (size_t)first * 12;
    char *memory = malloc(head + rows + dots + wide + bounds + scratch + exact_size(largest) + (size_t)*batch * pool + 64);
    if (!memory)
        return NULL;
    Work *work = (Work *)memory;
    memory += head;
    *work = (Work){.rows = (uint8_t *)memory, .stride = stride, .dots = (int32_t *)(memory + rows)};
    memory += rows + dots;
    work->wide = (double *)memory;
    work->bounds = (float *)(memory + wide);
    work->first = pool_in(memory + wide + bounds, first);
    work->exact = exact_in(memory + wide + bounds + scratch, largest);
    memory += wide + bounds + scratch + exact_size(largest);
    for (int64_t i = 0; i < *batch; i++)
        work->users[i].pool = pool_in(memory + i * pool, room);
    memset(work->rows, 0, rows);
    return work;
}

/* Exact products of what a user holds. `next` is whose rows are fetched meanwhile, behind the user's own. */
INLINE void multiply_out(const Task *task, Work *work, int64_t row, const Pool *pool, const Pool *next) {
    int64_t rank = task->rank, half = half_of(rank);
    widen(task->users + row * rank, rank, work->wide);
    work->exact.held = pool->held;
    for (int i = 0; i < pool->held; i++) {
        int ahead = i + AHEAD;
        const int32_t *fetched = ahead < pool->held ? pool->item + ahead : next && ahead - pool->held < next->held ? next->item + (ahead - pool->held) : NULL;
        for (int64_t j = 0; fetched && j < rank; j += 16)
            __builtin_prefetch(task->factors + *fetched * rank + j);
        work->exact.items[i] = pool->item[i];
        work->exact.products[i] = product(work->wide, task->factors + pool->item[i] * rank, rank, half, work->wide + rank);
    }
}

/* More than the pool is for: bounds that are too near each other, or ties. Exact products and ranks leave n. */
INLINE void shrink(const Task *task, Work *work, User *user, int64_t row) {
    Pool *pool = &user->pool;
    Exact *exact = &work->exact;
    multiply_out(task, work, row, pool, NULL);
    pool->held = best_of(exact, (int)task->n, task->ranks);
    for (int i = 0; i < pool->held; i++) {
        pool->item[i] = exact->entries[i].item;
        double near = exact->entries[i].product / user->unit, slack = fabs(near) * ROUNDED + TINY;
        pool->low[i] = (float)(near - slack);
        pool->high[i] = (float)(near + slack);
    }
    if (pool->held == task->n && pool->low[pool->held - 1] > user->cut)
        user->cut = pool->low[pool->held - 1];
}

INLINE void trim(const Task *task, Work *work, User *user, int64_t row) {
    if (user->pool.held <= MOST_HELD * task->n)
        return;
    tighten(user, (int)task->n);
    if (user->pool.held > 3 * task->n)
        shrink(task, work, user, row);
}

/* Users that are multiplied with a block at once. */
typedef struct {
    float cut[MOST_GROUP], length[MOST_GROUP], residual[MOST_GROUP];
    const uint8_t *rows[MOST_GROUP];
    User *users[MOST_GROUP];
} Group;

/* The last user stands in for those that a group lacks. */
INLINE void group_of(Work *work, int group, int count, const int *who, Group *all) {
    for (int i = 0; i < group; i++) {
        int user = who[i < count ? i : count - 1];
        all->users[i] = work->users + user;
        all->rows[i] = work->rows + user * work->stride;
        all->cut[i] = all->users[i]->cut;
        all->length[i] = all->users[i]->length;
        all->residual[i] = all->users[i]->residual;
    }
}

/* Of each user, how far its products with a block may be from those of the quantised vectors, in its unit, and an int that no dot product of an
   item with upper bound >= cut is at or below: the upper bound is scale * dot + margin. Two whole units and 2^-20 are far more than
   what these operations round. */
INLINE void limits(const Group *all, const Block *block, float *margins, int32_t *least) {
    for (int i = 0; i < MOST_GROUP; i++) {
        float margin = all->residual[i] * block->length + all->length[i] * block->residual + TINY;
        float most = (all->cut[i] - margin) * block->inverse;
        most -= fabsf(most) * 0x1p-20f + 2;
        most = most > 2e9f ? 2e9f : most;
        most = most < -2e9f ? -2e9f : most;
        margins[i] = margin;
        least[i] = (int32_t)most;
    }
}

/* Where a level's users are shifted to have no sign, each item's dot product starts at what takes the shift back. */
INLINE void starts(const Task *task, const Work *work, Dots *dots, int bias, const uint8_t *ones, int64_t block, int32_t *out) {
    static const int32_t zeros[ITEMS] = {0};
    memset(out, 0, ITEMS * sizeof *out);
    if (!bias)
        return;
    dots(task->rows + block * ITEMS * work->stride, &ones, 1, work->stride / 4, zeros, NULL, out, NULL);
    for (int i = 0; i < ITEMS; i++)
        out[i] *= -bias;
}

/* The first cut: the n-th of the lower bounds of distinct items, each the best of its group. */
INLINE void guess(const Task *task, User *user, int64_t row, int64_t first, const Block *blocks, float (*margins)[MOST_GROUP],
                  int place, const int32_t *dots, int64_t apart, float *bounds) {
    int depth = first * LANES >= 3 * task->n ? ITEMS / LANES : 1, width = ITEMS / depth;
    int64_t cursor = user->cursor;
    int held = 0;
    for (int64_t block = 0; block < first; block++) {
        uint64_t bits = allowed(task, user, row, block);
        int32_t maxima[ITEMS];
        memcpy(maxima, dots + block * apart, sizeof maxima);
        if (bits != ~(uint64_t)0)
            for (int i = 0; i < ITEMS; i++)
                maxima[i] = bits >> i & 1 ? maxima[i] : INT32_MIN;
        for (int part = 1; part < depth; part++)
            for (int i = 0; i < LANES; i++)
                maxima[i] = maxima[part * LANES + i] > maxima[i] ? maxima[part * LANES + i] : maxima[i];
        if (bits == ~(uint64_t)0) {
            for (int i = 0; i < width; i++)
                bounds[held + i] = blocks[block].scale * (float)maxima[i] - margins[block][place];
            held += width;
            continue;
        }
        for (int i = 0; i < width; i++) {
            bounds[held] = blocks[block].scale * (float)maxima[i] - margins[block][place];
            held += maxima[i] != INT32_MIN;
        }
    }
    user->cursor = cursor;
    if (held >= task->n)
        user->cut = reached_by(bounds, held, (int)task->n);
}

INLINE void begin(const Task *task, Work *work, Dots *dots, Above *above, int group, int bias, int count, const uint8_t *ones,
                  int64_t low, int64_t first) {
    int32_t start[MOST_FIRST * ITEMS], least[MOST_FIRST][MOST_GROUP];
    float margins[MOST_FIRST][MOST_GROUP];
    Block blocks[MOST_FIRST];
    Group all = {0};
    int64_t apart = group * ITEMS;
    for (int64_t block = 0; block < first; block++) {
        starts(task, work, dots, bias, ones, block, start + block * ITEMS);
        blocks[block] = block_of(task, block);
    }
    for (int g = 0; g < count; g += group) {
        int some = count - g < group ? count - g : group;
        group_of(work, group, some, work->active + g, &all);
        for (int64_t block = 0; block < first; block++) {
            dots(task->rows + block * ITEMS * work->stride, all.rows, group, work->stride / 4, start + block * ITEMS, NULL,
                 work->dots + block * apart, NULL);
            limits(&all, blocks + block, margins[block], least[block]);
        }
        for (int i = 0; i < some; i++) {
            guess(task, all.users[i], low + work->active[g + i], first, blocks, margins, i,
                  work->dots + i * ITEMS, apart, work->bounds);
            all.cut[i] = all.users[i]->cut;
        }
        for (int64_t block = 0; block < first; block++)
            limits(&all, blocks + block, margins[block], least[block]);
        for (int i = 0; i < some; i++) {
            User *user = all.users[i];
            int64_t row = low + work->active[g + i];
            Pool own = user->pool;
            user->pool = work->first;
            for (int64_t block = 0; block < first; block++) {
                const int32_t *found = work->dots + block * apart + i * ITEMS;
                uint64_t bits = above(found, least[block][i]);
                if (bits && (bits &= allowed(task, user, row, block)))
                    hold(&user->pool, blocks[block].scale, margins[block][i], block, found, bits);
            }
            tighten(user, (int)task->n);
            trim(task, work, user, row);
            own.held = user->pool.held;
            memcpy(own.low, user->pool.low, (size_t)own.held * sizeof *own.low);
            memcpy(own.high, user->pool.high, (size_t)own.held * sizeof *own.high);
            memcpy(own.item, user->pool.item, (size_t)own.held * sizeof *own.item);
            user->pool = own;
        }
    }
}

INLINE void step(const Task *task, Work *work, Dots *dots, int group, int bias, int count, const uint8_t *ones, int64_t low,
                 int64_t from, int64_t to) {
    int32_t start[TILE * ITEMS], out[MOST_GROUP * ITEMS], least[MOST_GROUP];
    float margins[MOST_GROUP];
    uint64_t bits[MOST_GROUP];
    Block blocks[TILE];
    Group all = {0};
    for (int64_t block = from; block < to; block++) {
        starts(task, work, dots, bias, ones, block, start + (block - from) * ITEMS);
        blocks[block - from] = block_of(task, block);
    }
    for (int g = 0; g < count; g += group) {
        int some = count - g < group ? count - g : group;
        group_of(work, group, some, work->active + g, &all);
        for (int64_t block = from; block < to; block++) {
            if (task->included && !task->included[block])
                continue;
            const Block *of = blocks + (block - from);
            limits(&all, of, margins, least);
            dots(task->rows + block * ITEMS * work->stride, all.rows, group, work->stride / 4, start + (block - from) * ITEMS, least,
                 out, bits);
            for (int i = 0; i < some; i++)
                if (__builtin_expect(bits[i] != 0, 0) && (bits[i] &= allowed(task, all.users[i], low + work->active[g + i], block)))
                    hold(&all.users[i]->pool, of->scale, margins[i], block, out + i * ITEMS, bits[i]);
        }
        for (int i = 0; i < some; i++)
            trim(task, work, all.users[i], low + work->active[g + i]);
    }
}

INLINE int going(const Task *task, Work *work, int count, int64_t block) {
    int kept = 0;
    double norm = task->norms[block * ITEMS] / longest(task) * (1 + ROUNDED) + TINY;
    for (int i = 0; i < count; i++) {
        const User *user = work->users + work->active[i];
        work->active[kept] = work->active[i];
        kept += user->length * norm >= user->cut;
    }
    return kept;
}

INLINE void finish(const Task *task, Work *work, int64_t low, int64_t batch) {
    for (int64_t i = 0; i < batch; i++)
        tighten(work->users + i, (int)task->n);
    for (int64_t i = 0; i < batch; i++) {
        int64_t row = low + i;
        multiply_out(task, work, row, &work->users[i].pool, i + 1 < batch ? &work->users[i + 1].pool : NULL);
        int held = best_of(&work->exact, (int)task->n, task->ranks);
        for (int j = 0; j < held; j++) {
            task->best[row * task->n + j] = work->exact.entries[j].item;
            task->products[row * task->n + j] = work->exact.entries[j].product;
        }
    }
}

INLINE int search(const Task *task, Dots *dots, Above *above, int group, int limit, int bias) {
    int64_t blocks = (task->items + ITEMS - 1) / ITEMS, first = first_blocks(task), most;
    if (!task->count || !blocks)
        return 0;
    Work *work = open_work(task, &most);
    if (!work)
        return -1;
    const uint8_t *ones = memset(work->rows + most * work->stride, 1, (size_t)work->stride);
    for (int64_t low = 0; low < task->count; low += most) {
        int batch = (int)(task->count - low < most ? task->count - low : most), count = 0;
        for (int i = 0; i < batch; i++) {
            User *user = work->users + i;
            user->cut = -INFINITY;
            user->cursor = task->excluded_starts ? task->excluded_starts[low + i] : 0;
            user->pool.held = 0;
            quantise(task, task->turned + (low + i) * task->rank, limit, bias, user, work->rows + i * work->stride);
            work->active[count] = i;
            count += user->length > 0; /* all items tie for a zero vector: not answered here */
        }
        begin(task, work, dots, above, group, bias, count, ones, low, first);
        for (int64_t block = first; block < blocks && (count = going(task, work, count, block)); block += TILE)
            step(task, work, dots, group, bias, count, ones, low, block, block + TILE < blocks ? block + TILE : blocks);
        finish(task, work, low, batch);
    }
    free(work);
    return 0;
}
