/* Which row an item id has: a hash table of the ids' JSON texts, as orjson writes them; scoring/item_index.py. */

typedef struct {
    const uint8_t *ids; /* JSON strings */
    const int32_t *id_starts; /* (I + 1,) */
    int64_t items; /* I */
    uint64_t *slots; /* (mask + 1,): the upper half of a text's hash, and in the lower one its row + 1; 0 where there is none */
    uint64_t mask; /* a power of two less one, at least 2 I - 1 */
    uint64_t seed;
} Index;

#define ABREAST 16 /* ids that are looked up together, so that they wait for memory together */

INLINE uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

INLINE uint64_t hash_of(const uint8_t *text, size_t length, uint64_t seed) {
    uint64_t hash = mixed(seed, length), word;
    for (; length >= sizeof word; text += sizeof word, length -= sizeof word) {
        memcpy(&word, text, sizeof word);
        hash = mixed(hash, word);
    }
    word = 0;
    memcpy(&word, text, length);
    return mixed(mixed(hash, word), 0);
}

/* Where the text is, or the free slot behind those of its hash. */
INLINE uint64_t place_of(const Index *index, const uint8_t *text, size_t length, uint64_t hash) {
    uint64_t place = hash & index->mask;
    for (uint64_t slot; (slot = index->slots[place]); place = (place + 1) & index->mask) {
        if (slot >> 32 != hash >> 32)
            continue;
        int64_t row = (int64_t)(slot & UINT32_MAX) - 1, start = index->id_starts[row];
        if ((size_t)(index->id_starts[row + 1] - start) == length && !memcmp(index->ids + start, text, length))
            break;
    }
    return place;
}

/* Of a text that is there twice the last row counts. */
static void index_items(const Index *index) {
    for (int64_t row = 0; row < index->items; row++) {
        const uint8_t *text = index->ids + index->id_starts[row];
        size_t length = (size_t)(index->id_starts[row + 1] - index->id_starts[row]);
        uint64_t hash = hash_of(text, length, index->seed);
        index->slots[place_of(index, text, length, hash)] = (hash & ~(uint64_t)UINT32_MAX) | (uint64_t)(row + 1);
    }
}

/* Behind the JSON string that begins here. */
INLINE const uint8_t *behind(const uint8_t *text) {
    for (text++; *text != '"'; text++)
        text += *text == '\\';
    return text + 1;
}

/* The rows of the strings of a JSON array, or of an array of them, without spaces; -1 for those that are not there. Fails at what is no string. */
static int rows_of(const Index *index, const uint8_t *wanted, int64_t count, int64_t *rows) {
    const uint8_t *texts[ABREAST];
    size_t lengths[ABREAST];
    uint64_t hashes[ABREAST];
    for (int64_t first = 0; first < count; first += ABREAST) {
        int many = (int)(count - first < ABREAST ? count - first : ABREAST);
        for (int i = 0; i < many; i++) {
            while (*wanted == '[' || *wanted == ',' || *wanted == ']')
                wanted++;
            if (*wanted != '"')
                return 1;
            texts[i] = wanted;
            wanted = behind(wanted);
            lengths[i] = (size_t)(wanted - texts[i]);
            hashes[i] = hash_of(texts[i], lengths[i], index->seed);
            __builtin_prefetch(index->slots + (hashes[i] & index->mask));
        }
        for (int i = 0; i < many; i++) {
            uint64_t slot = index->slots[hashes[i] & index->mask];
            if (slot)
                __builtin_prefetch(index->id_starts + (slot & UINT32_MAX) - 1);
        }
        for (int i = 0; i < many; i++) {
            uint64_t slot = index->slots[hashes[i] & index->mask];
            if (slot)
                __builtin_prefetch(index->ids + index->id_starts[(slot & UINT32_MAX) - 1]);
        }
        for (int i = 0; i < many; i++) {
            uint64_t slot = index->slots[place_of(index, texts[i], lengths[i], hashes[i])];
            rows[first + i] = (int64_t)(slot & UINT32_MAX) - 1;
        }
    }
    return 0;
}
