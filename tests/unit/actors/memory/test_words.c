#include "unit.h"

#include <stdlib.h>

#include "memory/words.h"

static void test_utf8_check(void **state)
{
    static const struct {
        const char *text;
        size_t bad_at;
    } rows[] = {
        { "", 0 },
        { "plain", 0 },
        { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91", 0 },
        { "a\xff", 2 },
        { "\x80", 1 },
        { "ab\xc3", 3 },           /* cut */
        { "\xc0\xaf", 1 },         /* overlong / */
        { "\xe0\x80\xaf", 1 },     /* overlong / in three */
        { "\xed\xa0\x80", 1 },     /* half of a surrogate pair */
        { "\xf4\x90\x80\x80", 1 }, /* above U+10FFFF */
        { "\xf5\x80\x80\x80", 1 },
        { "x\xe2\x82"
          "y",
            2 },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++)
        assert_int_equal(memory_utf8_check(rows[i].text, strlen(rows[i].text)), rows[i].bad_at);
}

static void test_normalise(void **state)
{
    static const struct {
        const char *text, *normal;
    } rows[] = {
        { "", "" },
        { "  ... !? ", "" },
        { "The spare KEY is in the blue drawer.", "the spare kei is in the blue drawer" },
        { "Anna's keys, the dogs' bowl; don't!", "anna kei the dog bowl dont" },
        { "rock'n'roll o\xe2\x80\x99"
          "clock Anna\xe2\x80\x99s",
            "rocknrol oclock anna" },
        { "on the 8th of May, 21st 3rd 1920s x5th", "on the 8 of mai 21 3 1920s x5th" },
        { "3.14 10:30", "3 14 10 30" },
        { "\xc3\x84pfel \xc3\x9c"
          "BER Stra\xc3\x9f"
          "e na\xc3\xafve \xc5\x81\xc3\xb3"
          "d\xc5\xba",
            "apfel uber strass naiv lodz" },
        { "cafe\xcc\x81", "cafe" }, /* a combining accent */
        { "\xce\x91\xce\xb8\xce\xae\xce\xbd\xce\xb1 "
          "\xd0\x9c\xd0\x9e\xd0\xa1\xd0\x9a\xd0\x92\xd0\x90",
            "\xce\xb1\xce\xb8\xce\xb7\xce\xbd\xce\xb1 "
            "\xd0\xbc\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0" },
        { "\xe6\x9d\xb1\xe4\xba\xac"
          "go",
            "\xe6\x9d\xb1 \xe4\xba\xac go" },
        { "key\xf0\x9f\x94\x91!", "kei \xf0\x9f\x94\x91" },
        { "\xef\xbc\xa1\xef\xbd\x82\xef\xbc\x83"
          "c",
            "ab c" }, /* full width */
        { "a\xe2\x80\x94"
          "b\xc2\xa0"
          "c",
            "a b c" }, /* dash, no-break space */
        { "\" OR text:* NEAR( -a ^b {c}", "or text near a b c" },
    };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        const size_t bytes = strlen(rows[i].text);
        char *normal = malloc(MEMORY_NORMAL_ROOM(bytes)); /* to the byte, for the sanitizer */
        size_t n;

        n = memory_normalise(rows[i].text, bytes, normal);
        assert_int_equal(n, strlen(normal));
        assert_string_equal(normal, rows[i].normal);
        free(normal);
    }
}

static void test_room_and_long_words(void **state)
{
    char text[3000], normal[MEMORY_NORMAL_ROOM(sizeof(text))];
    size_t n;

    (void)state;
    memset(text, 'q', sizeof(text));
    n = memory_normalise(text, sizeof(text), normal);
    assert_in_range(n, 50, MEMORY_WORD_BYTES_MAX);
    for (unsigned i = 0; i < sizeof(text); i++) /* every second letter is a word */
        text[i] = i % 2 != 0 ? ' ' : 'x';
    assert_int_equal(memory_normalise(text, sizeof(text), normal), sizeof(text) - 1);
    for (unsigned i = 0; i < 1000; i++) /* words without spaces get them */
        memcpy(text + 3 * i, "\xe6\x9d\xb1", 3);
    assert_int_equal(memory_normalise(text, sizeof(text), normal), 4 * 1000 - 1);
}

/* Any bytes at all are taken without harm. */
static void test_noise(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        char text[64], normal[MEMORY_NORMAL_ROOM(sizeof(text))];

        for (unsigned i = 0; i < sizeof(text); i++) {
            seed = seed * 1664525u + 1013904223u;
            text[i] = (char)(seed >> 24);
        }
        assert_in_range(memory_normalise(text, sizeof(text), normal), 0, sizeof(normal) - 1);
    }
}

static void test_stems(void **state)
{
    static const struct {
        const char *word, *stem;
    } rows[] = { { "caresses", "caress" }, { "ponies", "poni" }, { "cats", "cat" },
        { "feed", "feed" }, { "agreed", "agre" }, { "plastered", "plaster" }, { "bled", "bled" },
        { "motoring", "motor" }, { "sing", "sing" }, { "conflated", "conflat" },
        { "troubled", "troubl" }, { "sized", "size" }, { "hopping", "hop" }, { "falling", "fall" },
        { "hissing", "hiss" }, { "failing", "fail" }, { "filing", "file" }, { "happy", "happi" },
        { "sky", "sky" }, { "relational", "relat" }, { "conditional", "condit" },
        { "digitizer", "digit" }, { "operator", "oper" }, { "hopefulness", "hope" },
        { "formality", "formal" }, { "triplicate", "triplic" }, { "electrical", "electr" },
        { "goodness", "good" }, { "revival", "reviv" }, { "allowance", "allow" },
        { "adjustable", "adjust" }, { "replacement", "replac" }, { "adoption", "adopt" },
        { "effective", "effect" }, { "probate", "probat" }, { "rate", "rate" }, { "cease", "ceas" },
        { "controlling", "control" }, { "rolling", "roll" }, { "is", "is" }, { "ties", "ti" },
        { "generalizations", "gener" }, { "ion", "ion" }, { "eed", "eed" } };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        char word[64];
        size_t n;

        strcpy(word, rows[i].word);
        n = memory_stem(word, strlen(word));
        word[n] = '\0';
        assert_string_equal(word, rows[i].stem);
    }
}

static void test_stop_words(void **state)
{
    static const struct {
        const char *word;
        bool stop;
    } rows[] = { { "a", true }, { "the", true }, { "The", true }, { "don't", true },
        { "yours", true }, { "key", false }, { "May", false }, { "th", false }, { "8", false },
        { "yes", true }, { "about", true }, { "because", true }, { "it's", true } };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        struct memory_words words;
        struct memory_word word;

        memory_words_begin(&words, rows[i].word, strlen(rows[i].word));
        assert_true(memory_words_next(&words, &word));
        assert_int_equal(word.stop, rows[i].stop);
        assert_false(memory_words_next(&words, &word));
    }
}

static void test_date_words(void **state)
{
    static const struct {
        int64_t ms;
        const char *words;
    } rows[] = { { 1683540000000, "2023 mai 8 mondai" }, { 0, "1970 januari 1 thursdai" },
        { -1, "1969 decemb 31 wednesdai" }, { 951782400000, "2000 februari 29 tuesdai" } };

    (void)state;
    for (unsigned i = 0; i < ROWS(rows); i++) {
        char words[128];

        memory_date_words(rows[i].ms, words);
        assert_string_equal(words, rows[i].words);
    }
}

static unsigned distance(const char *a, const char *b)
{
    return (unsigned)__builtin_popcountll(
        memory_simhash(a, strlen(a)) ^ memory_simhash(b, strlen(b)));
}

static void test_simhash(void **state)
{
    char a[4096] = "", b[4096];

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        sprintf(a + strlen(a), "word%u ", i * 7919 % 1000);
    strcpy(b, a);
    memcpy(strstr(b, "word7"), "wore7", 5);
    assert_int_equal(distance(a, a), 0);
    assert_in_range(distance(a, b), 0, 3);
    assert_in_range(
        distance("the spare kei is in the blue drawer", "we met anna in pari last mai"), 10, 64);
    assert_int_equal(memory_simhash("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_check),
        cmocka_unit_test(test_normalise),
        cmocka_unit_test(test_room_and_long_words),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_stems),
        cmocka_unit_test(test_stop_words),
        cmocka_unit_test(test_date_words),
        cmocka_unit_test(test_simhash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
