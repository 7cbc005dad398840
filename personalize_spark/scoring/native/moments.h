/* Sums over all items for each user, which trainings need: training/moments.py calls this. For user u and items j with the exponents
       e_uj = t (w_u . w_j - a_u) + s (p_j - b_u)
   they are log sum_j exp(e_uj), and the means of w_u . w_j - a_u and of p_j - b_u under the softmax. In float64, in one pass over tiles of
   items. A level is an instance of MOMENTS; its vectors have as many bytes as its registers. */

#define CROWD 64 /* users that go over the tiles together */
#define SHELF 64 /* items of a tile */

typedef struct {
    const float *items; /* I rows of rank numbers, stride apart */
    const double *prior; /* (I,) p */
    const float *users; /* (U, rank) */
    const double *anchors; /* (U, 2) a and b */
    int64_t count, stride, rank, first, last; /* I; the users to add up */
    double temperature, share; /* t, s */
    double *moments; /* (U, 3) */
} Moments;

/* The same where the products of a user are 0 but for some items, and a = b = 0. */
typedef struct {
    const int64_t *starts; /* (U + 1,) of listed and products */
    const int32_t *listed; /* items, none twice in a row */
    const double *products;
    const double *prior; /* (I,) p */
    const double *rest; /* (I,) exp(s p_j - highest) */
    int64_t count; /* U */
    double temperature, share, highest; /* t, s, and the highest s p_j */
    double rest_sum, rest_prior; /* of all rest_j, and of all p_j rest_j */
    double *moments; /* (U, 3) */
} ListedMoments;

typedef struct {
    double peak, sum, product, prior;
} Sum;

INLINE void tell(const Sum *sum, double *out) {
    out[0] = sum->peak + log(sum->sum);
    out[1] = sum->product / sum->sum;
    out[2] = sum->prior / sum->sum;
}

/* Rows become columns of `width` rows each: (rows / width, rank, width); zeros where there are no more rows. */
INLINE void pack(const float *from, int64_t stride, int64_t rank, int64_t rows, int64_t width, int64_t most, double *to) {
    for (int64_t i = 0; i < most; i++)
        for (int64_t k = 0; k < rank; k++)
            to[(i / width * rank + k) * width + i % width] = i < rows ? (double)from[i * stride + k] : 0.0;
}

INLINE void take_in(Sum *sum, double peak) {
    double scale = exp(sum->peak - peak);
    *sum = (Sum){peak, sum->sum * scale, sum->product * scale, sum->prior * scale};
}

#define MOMENTS(name, target, bytes)                                                                \
    typedef int64_t Bits_##name __attribute__((vector_size(bytes)));                                \
    typedef double Wide_##name __attribute__((vector_size(bytes)));                                 \
                                                                                                    \
    /* exp of x <= 0, below 2^-52 of itself wrong; 0 from -700 on. */                               \
    target INLINE Wide_##name exp_##name(Wide_##name x) {                                           \
        const double LN2_HIGH = 0x1.62e42fefa3800p-1, LN2_LOW = 0x1.ef35793c76730p-45, SHIFT = 0x1.8p52; \
        Bits_##name there = x > -700.0;                                                             \
        x = (Wide_##name)((Bits_##name)x & there);                                                  \
        Wide_##name shifted = x * 0x1.71547652b82fep0 + SHIFT, whole = shifted - SHIFT;             \
        Wide_##name r = (x - whole * LN2_HIGH) - whole * LN2_LOW, y = r * 0x1.ae64567f544e4p-26 + 0x1.27e4fb7789f5cp-22; \
        y = y * r + 0x1.71de3a556c734p-19;                                                          \
        y = y * r + 0x1.a01a01a01a01ap-16;                                                          \
        y = y * r + 0x1.a01a01a01a01ap-13;                                                          \
        y = y * r + 0x1.6c16c16c16c17p-10;                                                          \
        y = y * r + 0x1.1111111111111p-7;                                                           \
        y = y * r + 0x1.5555555555555p-5;                                                           \
        y = y * r + 0x1.5555555555555p-3;                                                           \
        y = y * r + 0.5;                                                                            \
        y = y * r + 1.0;                                                                            \
        y = y * r + 1.0;                                                                            \
        Bits_##name power = ((Bits_##name)shifted << 52) + 0x3FF0000000000000;                      \
        return (Wide_##name)((Bits_##name)(y * (Wide_##name)power) & there);                        \
    }                                                                                               \
                                                                                                    \
    /* The products of four users with a tile: (4, SHELF). */                                       \
    target static void products_##name(const double *users, const double *items, int64_t rank, double *out) { \
        enum { LANES_ = bytes / 8, BOTH = 2 * LANES_ };                                             \
        for (int64_t at = 0; at < SHELF; at += BOTH, items += rank * BOTH) {                        \
            Wide_##name a0 = {0}, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;    \
            for (int64_t k = 0; k < rank; k++) {                                                    \
                Wide_##name x, y;                                                                   \
                const double *user = users + k * 4;                                                 \
                memcpy(&x, items + k * BOTH, sizeof x);                                             \
                memcpy(&y, items + k * BOTH + LANES_, sizeof y);                                    \
                a0 += user[0] * x, b0 += user[0] * y;                                               \
                a1 += user[1] * x, b1 += user[1] * y;                                               \
                a2 += user[2] * x, b2 += user[2] * y;                                               \
                a3 += user[3] * x, b3 += user[3] * y;                                               \
            }                                                                                       \
            Wide_##name sums[8] = {a0, b0, a1, b1, a2, b2, a3, b3};                                 \
            for (int i = 0; i < 4; i++)                                                             \
                memcpy(out + i * SHELF + at, sums + 2 * i, 2 * sizeof *sums);                       \
        }                                                                                           \
    }                                                                                               \
                                                                                                    \
    target static void sum_##name(const Moments *task, const double *anchors, const double *products, const double *prior, \
                                  int64_t count, Sum *sum) {                                        \
        enum { LANES_ = bytes / 8 };                                                                \
        double exponents[SHELF], gaps[SHELF], leads[SHELF], peak = sum->peak;                       \
        for (int64_t j = 0; j < SHELF; j++) {                                                       \
            gaps[j] = products[j] - anchors[0];                                                     \
            leads[j] = prior[j] - anchors[1];                                                       \
            exponents[j] = task->temperature * gaps[j] + task->share * leads[j];                    \
        }                                                                                           \
        for (int64_t j = count; j < SHELF; j++)                                                     \
            exponents[j] = -INFINITY;                                                               \
        for (int64_t j = 0; j < SHELF; j++)                                                         \
            peak = exponents[j] > peak ? exponents[j] : peak;                                       \
        if (peak > sum->peak)                                                                       \
            take_in(sum, peak);                                                                     \
        Wide_##name all = {0}, product = {0}, lead = {0};                                           \
        for (int64_t j = 0; j < SHELF; j += LANES_) {                                               \
            Wide_##name x, gap, more;                                                               \
            memcpy(&x, exponents + j, sizeof x);                                                    \
            memcpy(&gap, gaps + j, sizeof gap);                                                     \
            memcpy(&more, leads + j, sizeof more);                                                  \
            Wide_##name weight = exp_##name(x - peak);                                              \
            all += weight, product += weight * gap, lead += weight * more;                          \
        }                                                                                           \
        for (int i = 0; i < LANES_; i++)                                                            \
            sum->sum += all[i], sum->product += product[i], sum->prior += lead[i];                  \
    }                                                                                               \
                                                                                                    \
    target static int moments_##name(const Moments *task) {                                         \
        size_t rank = (size_t)task->rank;                                                           \
        double *items = malloc((CROWD + SHELF) * (rank + 1) * sizeof *items), *users = items + SHELF * rank; \
        if (!items)                                                                                 \
            return -1;                                                                              \
        for (int64_t low = task->first; low < task->last; low += CROWD) {                           \
            int64_t crowd = task->last - low < CROWD ? task->last - low : CROWD;                    \
            Sum sums[CROWD];                                                                        \
            for (int i = 0; i < CROWD; i++)                                                         \
                sums[i] = (Sum){.peak = -INFINITY};                                                 \
            pack(task->users + low * task->rank, task->rank, task->rank, crowd, 4, CROWD, users);   \
            for (int64_t start = 0; start < task->count; start += SHELF) {                          \
                int64_t count = task->count - start < SHELF ? task->count - start : SHELF;          \
                double prior[SHELF] = {0}, products[4 * SHELF];                                     \
                memcpy(prior, task->prior + start, (size_t)count * sizeof *prior);                  \
                pack(task->items + start * task->stride, task->stride, task->rank, count, bytes / 4, SHELF, items); \
                for (int64_t i = 0; i < crowd; i += 4) {                                            \
                    products_##name(users + i * task->rank, items, task->rank, products);           \
                    for (int64_t j = i; j < i + 4 && j < crowd; j++)                                \
                        sum_##name(task, task->anchors + 2 * (low + j), products + (j - i) * SHELF, prior, count, sums + j); \
                }                                                                                   \
            }                                                                                       \
            for (int64_t i = 0; i < crowd; i++)                                                     \
                tell(sums + i, task->moments + 3 * (low + i));                                      \
        }                                                                                           \
        free(items);                                                                                \
        return 0;                                                                                   \
    }                                                                                               \
                                                                                                    \
    target static void listed_##name(const ListedMoments *task) {                                   \
        const Moments scale = {.temperature = task->temperature, .share = task->share};             \
        const double anchors[2] = {0.0, 0.0};                                                       \
        for (int64_t user = 0; user < task->count; user++) {                                        \
            Sum sum = {.peak = task->highest};                                                      \
            double rest = task->rest_sum, rest_prior = task->rest_prior;                            \
            for (int64_t start = task->starts[user]; start < task->starts[user + 1]; start += SHELF) {\
                int64_t left = task->starts[user + 1] - start, count = left < SHELF ? left : SHELF; \
                double prior[SHELF] = {0}, products[SHELF] = {0};                                   \
                memcpy(products, task->products + start, (size_t)count * sizeof *products);         \
                for (int64_t j = 0; j < count; j++) {                                               \
                    int32_t item = task->listed[start + j];                                         \
                    prior[j] = task->prior[item];                                                   \
                    rest -= task->rest[item];                                                       \
                    rest_prior -= prior[j] * task->rest[item];                                      \
                }                                                                                   \
                sum_##name(&scale, anchors, products, prior, count, &sum);                          \
            }                                                                                       \
            double shift = exp(task->highest - sum.peak);                                           \
            sum.sum += rest > 0.0 ? rest * shift : 0.0;                                             \
            sum.prior += rest_prior > 0.0 ? rest_prior * shift : 0.0;                               \
            tell(&sum, task->moments + 3 * user);                                                   \
        }                                                                                           \
    }
