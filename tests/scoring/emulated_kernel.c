/* The kernel in a program of its own, for an emulator: reads the fields of a Task, each behind its length in bytes, and writes what every
   level that the processor has answers: its name, the best items and their products. */
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

int main(void) {
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
        printf("%-16s", kernel_name(level));
        fwrite(task.best, 1, (size_t)best_size, stdout);
        fwrite(task.products, 1, (size_t)products_size, stdout);
    }
    return 0;
}
