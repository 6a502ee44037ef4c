/* Files by path: inside the roots they are read, and no spelling or link leads out. */

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "roots.h"

/* A tree: <top>/in/{a.png,sub/b.png,links...}, <top>/in2/c.png, <top>/secret. */
struct tree {
    char top[64], in[80], in2[80];
    struct vision_roots roots;
};

static void make_file(const struct tree *tree, const char *name, const char *text)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", tree->top, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void make_link(const struct tree *tree, const char *to, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", tree->top, name);
    assert_int_equal(symlink(to, path), 0);
}

static int setup(void **state)
{
    static struct tree tree;
    struct vision_error err;
    char path[256];

    strcpy(tree.top, "/tmp/test_vision_roots.XXXXXX");
    assert_non_null(mkdtemp(tree.top));
    snprintf(tree.in, sizeof(tree.in), "%s/in", tree.top);
    snprintf(tree.in2, sizeof(tree.in2), "%s/in2", tree.top);
    assert_int_equal(mkdir(tree.in, 0700), 0);
    assert_int_equal(mkdir(tree.in2, 0700), 0);
    snprintf(path, sizeof(path), "%s/in/sub", tree.top);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/in/pipe", tree.top);
    assert_int_equal(mkfifo(path, 0600), 0);
    make_file(&tree, "secret", "secret");
    make_file(&tree, "in/a.png", "aaaa");
    make_file(&tree, "in/sub/b.png", "bb");
    make_file(&tree, "in/empty", "");
    make_file(&tree, "in2/c.png", "c");
    make_link(&tree, "../secret", "in/link_out");
    make_link(&tree, "/etc/passwd", "in/link_far");
    make_link(&tree, "..", "in/link_up");
    make_link(&tree, "a.png", "in/link_in");
    make_link(&tree, "loop", "in/loop");
    assert_int_equal(aisys_vision_roots_add(&tree.roots, tree.in, &err), 0);
    assert_int_equal(aisys_vision_roots_add(&tree.roots, tree.in2, &err), 0);
    *state = &tree;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct tree *tree = *state;

    aisys_vision_roots_without_openat2(false);
    aisys_vision_roots_deinit(&tree->roots);
    return nftw(tree->top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Read "@IN/x" (from the first root, absolute), "@TOP/x" or a relative path. */
static enum aisys_code read_path(
    const struct tree *tree, const char *name, char text[32], struct vision_error *err)
{
    char path[512];
    void *bytes = NULL;
    size_t size = 0;
    enum aisys_code code;

    if (strncmp(name, "@IN", 3) == 0)
        snprintf(path, sizeof(path), "%s%s", tree->in, name + 3);
    else if (strncmp(name, "@TOP", 4) == 0)
        snprintf(path, sizeof(path), "%s%s", tree->top, name + 4);
    else
        snprintf(path, sizeof(path), "%s", name);
    memset(err, 0, sizeof(*err));
    code = aisys_vision_roots_read(&tree->roots, path, 16, &bytes, &size, err);
    if (code == AISYS_OK) {
        assert_true(size < 32);
        memcpy(text, bytes, size);
        text[size] = '\0';
    }
    free(bytes);
    return code;
}

static void check_paths(const struct tree *tree, bool links_inside)
{
    const struct {
        const char *path, *text;
        enum aisys_code code;
    } rows[] = {
        { "@IN/a.png", "aaaa", AISYS_OK },
        { "a.png", "aaaa", AISYS_OK },
        { "sub/b.png", "bb", AISYS_OK },
        { "sub//./b.png", "bb", AISYS_OK },
        { "c.png", "c", AISYS_OK }, /* in the second root */
        { "@TOP/in2/c.png", "c", AISYS_OK },
        { "empty", "", AISYS_OK },
        { "link_in", "aaaa", links_inside ? AISYS_OK : AISYS_PERMISSION_DENIED },
        { "missing.png", NULL, AISYS_NOT_FOUND },
        { "@IN/sub/missing.png", NULL, AISYS_NOT_FOUND },
        { "a.png/x", NULL, AISYS_NOT_FOUND },
        { "@TOP/secret", NULL, AISYS_PERMISSION_DENIED },
        { "@IN/../secret", NULL, AISYS_PERMISSION_DENIED },
        { "../secret", NULL, AISYS_PERMISSION_DENIED },
        { "sub/../../secret", NULL, AISYS_PERMISSION_DENIED },
        { "../nothing_there", NULL, AISYS_PERMISSION_DENIED },
        { "link_out", NULL, AISYS_PERMISSION_DENIED },
        { "link_far", NULL, AISYS_PERMISSION_DENIED },
        { "link_up/secret", NULL, AISYS_PERMISSION_DENIED },
        { "loop", NULL, AISYS_PERMISSION_DENIED },
        { "@TOP/in22/c.png", NULL, AISYS_PERMISSION_DENIED },
        { "/etc/passwd", NULL, AISYS_PERMISSION_DENIED },
        { "/proc/self/root/etc/passwd", NULL, AISYS_PERMISSION_DENIED },
        { "pipe", NULL, AISYS_INVALID_ARGUMENT },
        { "sub", NULL, AISYS_INVALID_ARGUMENT },
        { "@IN", NULL, AISYS_PERMISSION_DENIED }, /* a root's own name has nothing behind it */
        { "", NULL, AISYS_INVALID_ARGUMENT },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vision_error err;
        char text[32] = "";
        const enum aisys_code code = read_path(tree, rows[i].path, text, &err);

        if (code != rows[i].code)
            fail_msg("%s: code %d (%s)", rows[i].path, (int)code, err.words);
        if (code == AISYS_OK)
            assert_string_equal(text, rows[i].text);
        else
            assert_true(err.words[0] != '\0');
    }
}

static void test_with_openat2(void **state)
{
    check_paths(*state, true);
}

static void test_walking(void **state)
{
    aisys_vision_roots_without_openat2(true);
    check_paths(*state, false);
}

static void test_size_is_limited_before_reading(void **state)
{
    struct tree *tree = *state;
    struct vision_error err = { 0 };
    char text[32];

    make_file(tree, "in/big", "0123456789abcdefg");
    assert_int_equal(read_path(tree, "big", text, &err), AISYS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.words, "17 bytes; at most 16"));
}

static void test_no_roots_means_no_paths(void **state)
{
    const struct vision_roots none = { 0 };
    struct vision_error err = { 0 };
    void *bytes;
    size_t size;

    (void)state;
    assert_int_equal(aisys_vision_roots_read(&none, "/etc/passwd", 1000, &bytes, &size, &err),
        AISYS_PERMISSION_DENIED);
    assert_non_null(strstr(err.words, "config.roots"));
}

static void test_bad_roots_are_named(void **state)
{
    static const struct {
        const char *path, *words;
    } rows[] = {
        { "pictures", "root \"pictures\": not an absolute path" },
        { "/nonexistent/pictures", "root \"/nonexistent/pictures\": No such file" },
        { "/etc/passwd", "root \"/etc/passwd\": Not a directory" },
    };
    struct vision_roots roots = { 0 };
    struct vision_error err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(
            aisys_vision_roots_add(&roots, rows[i].path, &err), AISYS_INVALID_ARGUMENT);
        assert_non_null(strstr(err.words, rows[i].words));
    }
    assert_int_equal(roots.count, 0);
    for (unsigned i = 0; i < VISION_ROOTS_MAX; i++)
        assert_int_equal(aisys_vision_roots_add(&roots, "/", &err), AISYS_OK);
    assert_int_equal(aisys_vision_roots_add(&roots, "/", &err), AISYS_INVALID_ARGUMENT);
    assert_non_null(strstr(err.words, "too many"));
    aisys_vision_roots_deinit(&roots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_with_openat2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_walking, setup, teardown),
        cmocka_unit_test_setup_teardown(test_size_is_limited_before_reading, setup, teardown),
        cmocka_unit_test(test_no_roots_means_no_paths),
        cmocka_unit_test(test_bad_roots_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
