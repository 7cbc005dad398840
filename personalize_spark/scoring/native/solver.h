/* The equations of implicit ALS, a row of one side after the other: training/solver.py calls this, fold_in.AlsFoldIn says what is solved.

   For a row that met n of the other side's, y_1 .. y_n, with the confidences c_1 .. c_n:
       (Y'Y + sum_k c_k y_k y_k' + regularization n I) x = sum_k (1 + c_k) y_k
   The left side is added up in float32 over CHUNK of the n and in float64 over these parts, and becomes U'U in float64 (Cholesky). Only its
   upper triangle is there. What is added up together depends on the row alone. A row whose left side is not positive definite ends in numbers
   that are not finite. A level is an instance of SOLVER; its vectors have as many bytes as its registers. */

#define CHUNK 64
#define SIDE 4 /* rows of a square that are in registers at once */
#define WIDTH 16 /* what the rank is filled up to a multiple of: no level has more in two vectors */

typedef struct {
    const float *factors; /* of the other side: rows of rank numbers, stride apart */
    const double *gram; /* (rank, rank) Y'Y */
    const int64_t *starts; /* (R + 1,) of met and events */
    const int32_t *met; /* rows of factors */
    const float *events;
    int64_t rank, stride, first, last; /* the rows to solve */
    double alpha, regularization; /* c = alpha * events */
    float *solved; /* (R, rank); rows that met nothing stay as they are */
} Systems;

INLINE void begin_left(const Systems *task, int64_t met, int64_t width, double *left) {
    int64_t rank = task->rank;
    memset(left, 0, (size_t)(width * width) * sizeof *left);
    for (int64_t i = 0; i < rank; i++)
        memcpy(left + i * width, task->gram + i * rank, (size_t)rank * sizeof *left);
    for (int64_t i = 0; i < width; i++)
        left[i * width + i] += i < rank ? task->regularization * (double)met : 1.0;
}

/* CHUNK of a row's y at most, each times the root of its confidence; and their part of the right side. */
INLINE void gather(const Systems *task, int64_t from, int64_t to, int64_t stop, int64_t width, float *rows, double *right) {
    for (int64_t k = from; k < to; k++, rows += width) {
        if (k + 8 < stop)
            for (int64_t j = 0; j < task->rank; j += 16)
                __builtin_prefetch(task->factors + task->met[k + 8] * task->stride + j);
        const float *factors = task->factors + task->met[k] * task->stride;
        double confidence = task->alpha * (double)task->events[k];
        float root = (float)sqrt(confidence);
        for (int64_t j = 0; j < task->rank; j++) {
            rows[j] = root * factors[j];
            right[j] += (1 + confidence) * (double)factors[j];
        }
    }
}

/* U'U x = right, for right. */
INLINE void substitute(const double *upper, int64_t width, double *right) {
    for (int64_t k = 0; k < width; k++) {
        const double *row = upper + k * width;
        double found = right[k] /= row[k];
        for (int64_t j = k + 1; j < width; j++)
            right[j] -= found * row[j];
    }
    for (int64_t k = width - 1; k >= 0; k--) {
        const double *row = upper + k * width;
        double sums[4] = {0};
        int64_t first = (k + 4) / 4 * 4;
        for (int64_t j = first; j < width; j += 4)
            for (int lane = 0; lane < 4; lane++)
                sums[lane] += row[j + lane] * right[j + lane];
        for (int64_t j = k + 1; j < first; j++)
            sums[0] += row[j] * right[j];
        right[k] = (right[k] - ((sums[0] + sums[2]) + (sums[1] + sums[3]))) / row[k];
    }
}

/* The square (i .. i + SIDE, j .. j + two vectors) of the sum of row' row: eight sums that do not wait for each other. */
#define SQUARE(vector, lanes, sign, rows, end, width, i, j, a, b)                                   \
    for (; rows < end; rows += width) {                                                             \
        vector x = *(const vector *)(rows + j), y = *(const vector *)(rows + j + lanes);            \
        a##0 sign rows[i] * x, b##0 sign rows[i] * y;                                               \
        a##1 sign rows[i + 1] * x, b##1 sign rows[i + 1] * y;                                       \
        a##2 sign rows[i + 2] * x, b##2 sign rows[i + 2] * y;                                       \
        a##3 sign rows[i + 3] * x, b##3 sign rows[i + 3] * y;                                       \
    }

#define SOLVER(name, target, bytes)                                                                 \
    typedef float Floats_##name __attribute__((vector_size(bytes), aligned(4), may_alias));         \
    typedef double Doubles_##name __attribute__((vector_size(bytes), aligned(8), may_alias));       \
                                                                                                    \
    target static void add_##name(const float *rows, int64_t count, int64_t width, double *left) {  \
        enum { LANES_ = bytes / 4, BOTH = 2 * LANES_ };                                             \
        for (int64_t i = 0; i < width; i += SIDE)                                                   \
            for (int64_t j = i / BOTH * BOTH; j < width; j += BOTH) {                               \
                Floats_##name a0 = {0}, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0; \
                const float *row = rows, *end = rows + count * width;                               \
                SQUARE(Floats_##name, LANES_, +=, row, end, width, i, j, a, b)                      \
                Floats_##name sums[2 * SIDE] = {a0, b0, a1, b1, a2, b2, a3, b3};                    \
                const float *sum = (const float *)sums;                                             \
                for (int side = 0; side < SIDE; side++)                                             \
                    for (int lane = 0; lane < BOTH; lane++)                                         \
                        left[(i + side) * width + j + lane] += (double)sum[side * BOTH + lane];     \
            }                                                                                       \
    }                                                                                               \
                                                                                                    \
    /* The upper triangle of U'U becomes U, SIDE rows at a time. */                                 \
    target static void factor_##name(double *left, int64_t width) {                                 \
        typedef Doubles_##name Part;                                                                \
        enum { LANES_ = bytes / 8, BOTH = 2 * LANES_ };                                             \
        for (int64_t i = 0; i < width; i += SIDE) {                                                 \
            for (int64_t j = i / BOTH * BOTH; j < width; j += BOTH) {                               \
                Part *at[SIDE];                                                                     \
                for (int side = 0; side < SIDE; side++)                                             \
                    at[side] = (Part *)(left + (i + side) * width + j);                             \
                Part a0 = at[0][0], a1 = at[1][0], a2 = at[2][0], a3 = at[3][0];                    \
                Part b0 = at[0][1], b1 = at[1][1], b2 = at[2][1], b3 = at[3][1];                    \
                const double *row = left, *end = left + i * width;                                  \
                SQUARE(Part, LANES_, -=, row, end, width, i, j, a, b)                               \
                at[0][0] = a0, at[1][0] = a1, at[2][0] = a2, at[3][0] = a3;                         \
                at[0][1] = b0, at[1][1] = b1, at[2][1] = b2, at[3][1] = b3;                         \
            }                                                                                       \
            for (int64_t k = i; k < i + SIDE; k++) {                                                \
                double *own = left + k * width;                                                     \
                for (int64_t above = i; above < k; above++) {                                       \
                    double factor = left[above * width + k];                                        \
                    for (int64_t j = i / LANES_ * LANES_; j < width; j += LANES_)                   \
                        *(Part *)(own + j) -= factor * *(const Part *)(left + above * width + j);   \
                }                                                                                   \
                double inverse = 1 / sqrt(own[k]);                                                  \
                for (int64_t j = i / LANES_ * LANES_; j < width; j += LANES_)                       \
                    *(Part *)(own + j) *= inverse;                                                  \
            }                                                                                       \
        }                                                                                           \
    }                                                                                               \
                                                                                                    \
    target static int solve_##name(const Systems *task) {                                           \
        int64_t width = (task->rank + WIDTH - 1) / WIDTH * WIDTH;                                   \
        double *left = malloc((size_t)width * (size_t)(width + 1) * sizeof *left);                  \
        float *rows = calloc(CHUNK * (size_t)width, sizeof *rows);                                  \
        int failed = !left || !rows ? -1 : 0;                                                       \
        double *right = left + width * width;                                                       \
        for (int64_t at = task->first; !failed && at < task->last; at++) {                          \
            int64_t start = task->starts[at], stop = task->starts[at + 1];                          \
            if (start == stop)                                                                      \
                continue;                                                                           \
            begin_left(task, stop - start, width, left);                                            \
            memset(right, 0, (size_t)width * sizeof *right);                                        \
            for (int64_t from = start; from < stop; from += CHUNK) {                                \
                int64_t to = from + CHUNK < stop ? from + CHUNK : stop;                             \
                gather(task, from, to, stop, width, rows, right);                                   \
                add_##name(rows, to - from, width, left);                                           \
            }                                                                                       \
            factor_##name(left, width);                                                             \
            substitute(left, width, right);                                                         \
            for (int64_t j = 0; j < task->rank; j++)                                                \
                task->solved[at * task->rank + j] = (float)right[j];                                \
        }                                                                                           \
        free(left);                                                                                 \
        free(rows);                                                                                 \
        return failed;                                                                              \
    }
