/* The output's JSON Lines, the bytes of recommendations.py and scores.py: an answered line is its input, its items' ids and their scores. */

typedef struct {
    const uint8_t *texts; /* inputs of the answered lines, and error lines as they are */
    const int64_t *text_starts; /* (R + 1,) */
    const int64_t *answered; /* (Q,) which of the R lines the lists are of, ascending */
    const int64_t *list_starts; /* (Q + 1,) */
    const int64_t *items; /* rows of ids */
    const int64_t *units; /* of each item its score in units of the 7th decimal, 0 to 10,000,000; or NULL: no scores */
    const uint8_t *ids; /* JSON strings */
    const int32_t *id_starts; /* (I + 1,) */
    int64_t lines, lists; /* R, Q */
    uint8_t *out;
} Lines;

#define LONGEST_SCORE 10 /* 0.1234567, and the comma */
#define AROUND 80 /* more than what surrounds input, items and scores */

INLINE uint8_t *put(uint8_t *out, const void *text, size_t length) {
    memcpy(out, text, length);
    return out + length;
}
#define PUT(out, text) put(out, text, sizeof text - 1)

/* As Java writes a double: plainly from 0.001 on, below with an exponent; always a digit behind the point, and no zeros behind that. */
INLINE uint8_t *put_score(uint8_t *out, uint32_t units) {
    if (!units)
        return PUT(out, "0.0");
    int exponent = units < 10000 ? 7 : 0;
    *out++ = (uint8_t)('0' + units / 10000000);
    *out++ = '.';
    units %= 10000000;
    for (uint32_t i = 0, rest = units; i < 7; i++, rest /= 10)
        out[6 - i] = (uint8_t)('0' + rest % 10);
    uint8_t *first = out, *end = out + 7;
    if (exponent) { /* from 0.000d... to d.... */
        for (exponent = 1; *first == '0'; first++)
            exponent++;
        out[-2] = *first++;
        memmove(out, first, (size_t)(end - first));
        end -= first - out;
        if (end == out)
            *end++ = '0';
    }
    while (end > out + 1 && end[-1] == '0')
        end--;
    if (exponent) {
        end = PUT(end, "E-");
        *end++ = (uint8_t)('0' + exponent);
    }
    return end;
}

/* At least as many bytes as `write_lines` writes. */
static int64_t lines_size(const Lines *task) {
    int64_t items = task->list_starts[task->lists], size = task->text_starts[task->lines] + AROUND * task->lists;
    for (int64_t i = 0; i < items; i++)
        size += task->id_starts[task->items[i] + 1] - task->id_starts[task->items[i]];
    return size + items * (1 + (task->units ? LONGEST_SCORE : 0));
}

/* Returns how many bytes were written. */
static int64_t write_lines(const Lines *task) {
    uint8_t *out = task->out;
    for (int64_t line = 0, list = 0; line < task->lines; line++) {
        const uint8_t *text = task->texts + task->text_starts[line];
        size_t length = (size_t)(task->text_starts[line + 1] - task->text_starts[line]);
        if (list == task->lists || task->answered[list] != line) {
            out = put(out, text, length);
            continue;
        }
        int64_t start = task->list_starts[list], stop = task->list_starts[++list];
        out = put(PUT(out, "{\"input\":"), text, length);
        out = PUT(out, ",\"output\":{\"recommendedItems\":[");
        for (int64_t i = start; i < stop; i++) {
            int32_t at = task->id_starts[task->items[i]];
            if (i > start)
                *out++ = ',';
            out = put(out, task->ids + at, (size_t)(task->id_starts[task->items[i] + 1] - at));
        }
        if (task->units)
            out = PUT(out, "],\"scores\":[");
        for (int64_t i = start; task->units && i < stop; i++) {
            if (i > start)
                *out++ = ',';
            out = put_score(out, (uint32_t)task->units[i]);
        }
        out = PUT(out, "]},\"error\":null}\n");
    }
    return out - task->out;
}
