/* Errors as they travel: words cut at whole characters, findings as details. */
#include "unit.h"

#include "core/error.h"
#include "core/utf8.h"
#include "fake_env.h"
#include <aisys/error.pb-c.h>
#include <stdlib.h>

/* What comes out of packing @words and unpacking them again. */
static char *through(const char *words)
{
    unsigned char buf[ERROR_WORDS_BYTES_MAX];
    struct aisys_arena arena;
    char *copy;

    aisys_arena_init(&arena, NULL, 100000);
    copy = strdup(aisys_error_words(
        AISYS_NOT_FOUND, aisys_error_pack_words(AISYS_NOT_FOUND, words, buf), &arena));
    assert_non_null(copy);
    aisys_arena_deinit(&arena);
    return copy;
}

static void test_words(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "no such key", "no such key" },
        { "", "NOT_FOUND" },
        { "Schl\xc3\xbcssel \xe2\x82\xac \xf0\x9f\x98\x80",
            "Schl\xc3\xbcssel \xe2\x82\xac \xf0\x9f\x98\x80" },
        { "bad \xff byte", "bad ? byte" },
        { "\xc0\xaf overlong", "?? overlong" },
        { "\xed\xa0\x80 surrogate", "??? surrogate" },
        { "cut \xe2\x82", "cut " }, /* by somebody before */
        { "cut \xf0", "cut " },
        { "\x80", "?" },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        char *out = through(rows[i].in);

        assert_string_equal(out, rows[i].out);
        free(out);
    }
}

/* Wherever the cut falls, it falls between characters. */
static void test_long_words_are_cut_between_characters(void **state)
{
    static const char *const characters[] = { "x", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };

    (void)state;
    for (unsigned shift = 0; shift < 5; shift++)
        for (unsigned i = 0; i < ROWS(characters); i++) {
            const size_t each = strlen(characters[i]);
            char words[2000] = "";
            char *out;

            memset(words, '.', shift);
            for (size_t at = shift; at + each < sizeof(words); at += each)
                memcpy(words + at, characters[i], each + 1);
            out = through(words);
            assert_true(aisys_utf8_valid(out, strlen(out)));
            assert_in_range(strlen(out), ERROR_WORDS_MAX - 1 - 3, ERROR_WORDS_MAX - 1);
            assert_memory_equal(out, words, strlen(out));
            free(out);
        }
}

static void test_damaged_errors_have_the_name_of_their_code(void **state)
{
    struct aisys_arena arena;

    (void)state;
    aisys_arena_init(&arena, NULL, 1000);
    assert_string_equal(
        aisys_error_words(AISYS_INTERNAL, AISYS_BYTES("\xff\xff", 2), &arena), "INTERNAL");
    assert_string_equal(aisys_error_words(AISYS_ABORTED, AISYS_NO_BYTES, &arena), "ABORTED");
    aisys_arena_deinit(&arena);
}

static void test_findings_become_details(void **state)
{
    static struct aisys_diag diag;
    static const struct aisys_core_options options = { .node = 1 };
    struct fake_env fake;
    struct aisys_core *core;
    struct aisys_bytes packed;
    Aisys__Error *error;

    (void)state;
    fake_env_init(&fake);
    assert_int_equal(aisys_core_new(&fake.env, &options, &core), 0);
    aisys_diag_init(&diag);
    packed = aisys_error_pack_diag(core, AISYS_INTERNAL, &diag); /* no finding at all */
    core_release(core, (void *)(uintptr_t)packed.data);

    aisys_diag_add(&diag, NULL, "k", "1 to 1000", "is 0");
    aisys_diag_add(&diag, NULL, "text", NULL, "is missing");
    packed = aisys_error_pack_diag(core, AISYS_INVALID_ARGUMENT, &diag);
    error = aisys__error__unpack(NULL, packed.len, packed.data);
    assert_non_null(error);
    assert_int_equal(error->code, AISYS_INVALID_ARGUMENT);
    assert_string_equal(error->message, "k: is 0, and more");
    assert_int_equal(error->n_details, 2);
    assert_string_equal(error->details[0]->expected, "1 to 1000");
    assert_null(error->details[1]->expected);
    assert_string_equal(error->details[1]->path, "text");
    aisys__error__free_unpacked(error, NULL);
    core_release(core, (void *)(uintptr_t)packed.data);

    fake.fail_alloc_after = 0;
    packed = aisys_error_pack_diag(core, AISYS_INVALID_ARGUMENT, &diag);
    assert_null(packed.data);
    assert_int_equal(packed.len, 0);
    fake.fail_alloc_after = -1;
    aisys_core_free(core);
    fake_env_deinit(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_long_words_are_cut_between_characters),
        cmocka_unit_test(test_damaged_errors_have_the_name_of_their_code),
        cmocka_unit_test(test_findings_become_details),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
