/* Porter's stemmer: "An algorithm for suffix stripping", Program 14(3), 1980, and the departures that
 * its author published later ("logi", "bli"). Steps and rules are those of the paper. */
#include "memory/words.h"

#include <string.h>

struct stem {
    char *w;
    size_t n; /* letters of the word now */
};

static bool stem_consonant(const char *w, size_t i)
{
    switch (w[i]) {
    case 'a':
    case 'e':
    case 'i':
    case 'o':
    case 'u':
        return false;
    case 'y':
        return i == 0 || !stem_consonant(w, i - 1);
    default:
        return true;
    }
}

/* The paper's m: how often a vowel run is followed by a consonant run in the first @n letters. */
static unsigned stem_measure(const char *w, size_t n)
{
    unsigned m = 0;
    bool vowel = false;

    for (size_t i = 0; i < n; i++) {
        const bool consonant = stem_consonant(w, i);

        if (consonant && vowel)
            m++;
        vowel = !consonant;
    }
    return m;
}

static bool stem_has_vowel(const char *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!stem_consonant(w, i))
            return true;
    }
    return false;
}

static bool stem_double(const char *w, size_t n)
{
    return n >= 2 && w[n - 1] == w[n - 2] && stem_consonant(w, n - 1);
}

/* The paper's *o: ends consonant, vowel, consonant, and the last is not w, x or y. */
static bool stem_cvc(const char *w, size_t n)
{
    return n >= 3 && stem_consonant(w, n - 3) && !stem_consonant(w, n - 2) &&
           stem_consonant(w, n - 1) && strchr("wxy", w[n - 1]) == NULL;
}

/* Does the word end in @suffix? Then @ret_left is what stands before it. */
static bool stem_ends(const struct stem *s, const char *suffix, size_t *ret_left)
{
    const size_t bytes = strlen(suffix);

    if (s->n < bytes || memcmp(s->w + s->n - bytes, suffix, bytes) != 0)
        return false;
    *ret_left = s->n - bytes;
    return true;
}

static void stem_put(struct stem *s, size_t left, const char *suffix)
{
    const size_t bytes = strlen(suffix);

    memcpy(s->w + left, suffix, bytes); /* never longer than what it replaces */
    s->n = left + bytes;
}

static void stem_plural(struct stem *s)
{
    size_t left;

    if (stem_ends(s, "sses", &left))
        s->n -= 2;
    else if (stem_ends(s, "ies", &left))
        stem_put(s, left, "i");
    else if (!stem_ends(s, "ss", &left) && stem_ends(s, "s", &left))
        s->n = left;
}

static void stem_past(struct stem *s)
{
    size_t left;

    if (stem_ends(s, "eed", &left)) {
        if (stem_measure(s->w, left) > 0)
            s->n--;
        return;
    }
    if (!(stem_ends(s, "ed", &left) && stem_has_vowel(s->w, left)) &&
        !(stem_ends(s, "ing", &left) && stem_has_vowel(s->w, left)))
        return;
    s->n = left;
    if (stem_ends(s, "at", &left) || stem_ends(s, "bl", &left) || stem_ends(s, "iz", &left))
        s->w[s->n++] = 'e'; /* room: at least two letters were cut */
    else if (stem_double(s->w, s->n) && strchr("lsz", s->w[s->n - 1]) == NULL)
        s->n--;
    else if (stem_measure(s->w, s->n) == 1 && stem_cvc(s->w, s->n))
        s->w[s->n++] = 'e';
}

struct stem_rule {
    const char *suffix;
    const char *put;
};

/* The first rule whose suffix fits decides, whether or not the measure lets it act. */
static void stem_rules(struct stem *s, const struct stem_rule *rules)
{
    size_t left;

    for (; rules->suffix != NULL; rules++) {
        if (!stem_ends(s, rules->suffix, &left))
            continue;
        if (stem_measure(s->w, left) > 0)
            stem_put(s, left, rules->put);
        return;
    }
}

static const struct stem_rule stem_second[] = {
    { "ational", "ate" },
    { "tional", "tion" },
    { "enci", "ence" },
    { "anci", "ance" },
    { "izer", "ize" },
    { "bli", "ble" },
    { "alli", "al" },
    { "entli", "ent" },
    { "eli", "e" },
    { "ousli", "ous" },
    { "ization", "ize" },
    { "ation", "ate" },
    { "ator", "ate" },
    { "alism", "al" },
    { "iveness", "ive" },
    { "fulness", "ful" },
    { "ousness", "ous" },
    { "aliti", "al" },
    { "iviti", "ive" },
    { "biliti", "ble" },
    { "logi", "log" },
    { NULL, NULL },
};

static const struct stem_rule stem_third[] = {
    { "icate", "ic" },
    { "ative", "" },
    { "alize", "al" },
    { "iciti", "ic" },
    { "ical", "ic" },
    { "ful", "" },
    { "ness", "" },
    { NULL, NULL },
};

static const char *const stem_fourth[] = { "al", "ance", "ence", "er", "ic", "able", "ible", "ant",
    "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize", NULL };

static void stem_long_endings(struct stem *s)
{
    size_t left;

    for (unsigned i = 0; stem_fourth[i] != NULL; i++) {
        if (!stem_ends(s, stem_fourth[i], &left))
            continue;
        if (strcmp(stem_fourth[i], "ion") == 0 &&
            (left == 0 || (s->w[left - 1] != 's' && s->w[left - 1] != 't')))
            return;
        if (stem_measure(s->w, left) > 1)
            s->n = left;
        return;
    }
}

static void stem_last_letters(struct stem *s)
{
    if (s->w[s->n - 1] == 'e') {
        const unsigned m = stem_measure(s->w, s->n - 1);

        if (m > 1 || (m == 1 && !stem_cvc(s->w, s->n - 1)))
            s->n--;
    }
    if (s->w[s->n - 1] == 'l' && stem_double(s->w, s->n) && stem_measure(s->w, s->n) > 1)
        s->n--;
}

size_t memory_stem(char *word, size_t bytes)
{
    struct stem s = { word, bytes };
    size_t left;

    if (bytes < 3)
        return bytes;
    stem_plural(&s);
    stem_past(&s);
    if (stem_ends(&s, "y", &left) && stem_has_vowel(s.w, left))
        s.w[s.n - 1] = 'i';
    stem_rules(&s, stem_second);
    stem_rules(&s, stem_third);
    stem_long_endings(&s);
    stem_last_letters(&s);
    return s.n;
}
