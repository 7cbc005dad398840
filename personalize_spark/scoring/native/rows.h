/* The products of listed pairs of sparse rows, which trainings need: training/row_products.py calls this. Each is added up in float64, by
   ascending column of the second row. */

typedef struct {
    const int64_t *starts; /* (R + 1,) of columns and values */
    const int32_t *columns; /* none twice in a row */
    const double *values;
    const int64_t *pairs; /* (R + 1,) of others and products: what goes with each row */
    const int32_t *others; /* rows */
    int64_t width, first, last; /* columns; the rows whose pairs are multiplied */
    double *products;
} Rows;

static int row_products(const Rows *task) {
    double *wide = calloc((size_t)task->width + 1, sizeof *wide); /* a row, its zeros too */
    if (!wide)
        return -1;
    for (int64_t row = task->first; row < task->last; row++) {
        int64_t start = task->starts[row], stop = task->starts[row + 1];
        for (int64_t k = start; k < stop; k++)
            wide[task->columns[k]] = task->values[k];
        for (int64_t pair = task->pairs[row]; pair < task->pairs[row + 1]; pair++) {
            int32_t other = task->others[pair];
            double product = 0.0;
            for (int64_t k = task->starts[other]; k < task->starts[other + 1]; k++)
                product += wide[task->columns[k]] * task->values[k];
            task->products[pair] = product;
        }
        for (int64_t k = start; k < stop; k++)
            wide[task->columns[k]] = 0.0;
    }
    free(wide);
    return 0;
}
