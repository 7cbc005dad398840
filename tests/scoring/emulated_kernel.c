/* The kernel in a program of its own, for an emulator: reads the fields of a Task, of Systems or of Moments, as its argument says, each behind
   its length in bytes, and writes what every level that the processor has answers: its name, and the fields that it fills. */
#include <stdio.h>

#include "../../personalize_spark/scoring/native/kernel.c"

static void *field(int64_t *size) {
    if (fread(size, sizeof *size, 1, stdin) != 1)
        exit(1);
    if (*size < 0)
        return NULL;
    void *bytes = malloc((size_t)*size + 64); /* a search may load a vector of which it uses a part */
    if (fread(bytes, 1, (size_t)*size, stdin) != (size_t)*size)
        exit(1);
    return bytes;
}

static int64_t number(void) {
    int64_t size, *bytes = field(&size);
    return *bytes;
}

static double real(void) {
    int64_t size;
    double *bytes = field(&size);
    return *bytes;
}

static void answered(int level, const void *bytes, int64_t size) {
    printf("%-16s", kernel_name(level));
    fwrite(bytes, 1, (size_t)size, stdout);
}

static int search_all(void) {
    int64_t size, best_size, products_size;
    Task task = {0};
    task.rows = field(&size);
    task.blocks = field(&size);
    task.norms = field(&size);
    task.factors = field(&size);
    task.ranks = field(&size);
    task.included = field(&size);
    task.items = number();
    task.users = field(&size);
    task.turned = field(&size);
    task.excluded_starts = field(&size);
    task.excluded = field(&size);
    task.count = number();
    task.rank = number();
    task.n = number();
    void *best = field(&best_size), *products = field(&products_size);
    task.best = malloc((size_t)best_size);
    task.products = malloc((size_t)products_size);
    for (int level = 0; level < kernel_levels(); level++) {
        if (!kernel_runs(level))
            continue;
        memcpy(task.best, best, (size_t)best_size);
        memcpy(task.products, products, (size_t)products_size);
        if (kernel_search(level, &task))
            return 1;
        answered(level, task.best, best_size);
        fwrite(task.products, 1, (size_t)products_size, stdout);
    }
    return 0;
}

static int solve_all(void) {
    int64_t size;
    Systems task = {0};
    task.factors = field(&size);
    task.gram = field(&size);
    task.starts = field(&size);
    task.met = field(&size);
    task.events = field(&size);
    task.rank = number();
    task.stride = number();
    task.first = number();
    task.last = number();
    task.alpha = real();
    task.regularization = real();
    task.solved = field(&size);
    for (int level = 0; level < kernel_levels(); level++) {
        if (!kernel_runs(level))
            continue;
        if (kernel_solve(level, &task))
            return 1;
        answered(level, task.solved, size);
    }
    return 0;
}

static int moments_all(void) {
    int64_t size;
    Moments task = {0};
    task.items = field(&size);
    task.prior = field(&size);
    task.users = field(&size);
    task.anchors = field(&size);
    task.count = number();
    task.stride = number();
    task.rank = number();
    task.first = number();
    task.last = number();
    task.temperature = real();
    task.share = real();
    task.moments = field(&size);
    for (int level = 0; level < kernel_levels(); level++) {
        if (!kernel_runs(level))
            continue;
        if (kernel_moments(level, &task))
            return 1;
        answered(level, task.moments, size);
    }
    return 0;
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "search";
    return !strcmp(what, "solve") ? solve_all() : !strcmp(what, "moments") ? moments_all() : search_all();
}
