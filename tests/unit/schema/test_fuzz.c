/* The fuzz target of documents on its corpus and on seeded mutations of it, as an ordinary test. */
#include "unit.h"

#include <stdbool.h>

#include "../../fuzz/fuzz_document.c"

static const char *const corpus[] = {
    "{\"i32\":-5,\"i64\":\"9007199254740993\",\"real\":0.1,\"want\":\"TEXT\",\"text\":"
    "\"gr\\u00fcn\"}",
    "{\"part\":{\"name\":\"x\",\"leaves\":[{\"green\":true},{}]},\"numbers\":[1,2],\"data\":"
    "\"Zm9v\"}",
    "{\"since\":\"2026-01-31T12:00:00Z\",\"until\":\"2026-02-01T00:00:00.5+01:00\",\"left\":\"l\"}",
    "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
    "text: 5555\ntags: [on, 08, 1.0]\npart:\n  name: x\n  leaves:\n    - green: true\n",
    "a: &x {b: [1, two]}\nc: *x\nd: [*x, *x]\ne: |\n  lines\n  more\n",
    "? k\n: v\n---\n%YAML 1.2\n!!str \"q\\x41\\u00fc\" 'it''s' # comment\n",
    "\x08\x01\x12\x04text\x7a\x03"
    "abc\x8a\x01\x03\x0a\x01x\x92\x01\x02\x01\x02",
};

static uint32_t fuzz_random;

static uint32_t next_random(uint32_t below)
{
    fuzz_random = fuzz_random * 1664525 + 1013904223;
    return (fuzz_random >> 8) % below;
}

/* Change, insert, remove or repeat a few bytes. */
static size_t mutate(uint8_t *data, size_t n, size_t max)
{
    static const char interesting[] = "{}[]:,\"'\\-&*!|>#%@?~0 \n\t\xff\x80\x01";

    for (unsigned changes = 1 + next_random(6); changes > 0 && n > 2; changes--) {
        const size_t at = 1 + next_random((uint32_t)n - 1);
        const uint8_t byte = next_random(2) ? (uint8_t)interesting[next_random(sizeof(interesting))]
                                            : (uint8_t)next_random(256);

        switch (next_random(4)) {
        case 0:
            data[at] = byte;
            break;
        case 1:
            memmove(data + at, data + at + 1, n - at - 1);
            n--;
            break;
        default:
            if (n == max)
                break;
            memmove(data + at + 1, data + at, n - at);
            data[at] = byte;
            n++;
            break;
        }
    }
    return n;
}

static void any_document_is_survived(void **state)
{
    uint8_t data[512];

    (void)state;
    for (fuzz_random = 1; fuzz_random < 4; fuzz_random++) {
        const uint32_t seed = fuzz_random;

        for (unsigned n = 0; n < 4000; n++) {
            const char *const text = corpus[n % ROWS(corpus)];
            size_t bytes = strlen(text) + 1;

            data[0] = (uint8_t)next_random(3);
            memcpy(data + 1, text, bytes - 1);
            if (n >= ROWS(corpus) * 3)
                bytes = mutate(data, bytes, sizeof(data));
            assert_int_equal(LLVMFuzzerTestOneInput(data, bytes), 0);
        }
        fuzz_random = seed;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(any_document_is_survived) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
