/* SPDX-License-Identifier: Apache-2.0 */
/* What docs/limits.md says of the native engine: its table of operators is the engine's own, word for word, and options that are
 * for other files are refused. That both tables of the page cover the standard, tests/python/test_operators.py sees, where `onnx` is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/native/graph.h"
#include "stoa/stoa.h"

static const lower_operator *const families[] = {stoai_lower_layout, stoai_lower_math, stoai_lower_linear, stoai_lower_groups,
                                                 stoai_lower_cross};
enum { FAMILY_COUNT = sizeof families / sizeof *families, LINE_BYTES = 4096 };

/* Whether the engine has it; NULL: how many it has. */
static size_t count_operators(const char *name)
{
    size_t count = 0;
    for (int f = 0; f < FAMILY_COUNT; f++)
        for (const lower_operator *o = families[f]; o->name; o++) count += !name || !strcmp(o->name, name);
    return count;
}

/* The words of the second cell of a table's line; how many there are. */
static size_t check_line(char *line, bool is_run)
{
    size_t count = 0;
    char *rest = strchr(line + 1, '|') + 1;
    for (const char *word; (word = strtok_r(NULL, " |\n", &rest)) != NULL; count++)
        if (count_operators(word) != is_run) fail_msg("docs/limits.md: '%s' stands among what is %s", word, is_run ? "run" : "refused");
    return count;
}

/* As many words as operators, each word one of them: none is missing, for none stands twice in the engine's tables. */
static void operators_of_the_page(void **state)
{
    (void)state;
    char line[LINE_BYTES];
    size_t words[2] = {0, 0};
    int table = -1; /* 0 refused, 1 run */
    FILE *page = fopen(STOA_SOURCE_DIR "/docs/limits.md", "re");
    assert_non_null(page);
    while (fgets(line, sizeof line, page)) {
        if (!strncmp(line, "| run |", 7)) table = 1;
        else if (!strncmp(line, "| refused |", 11)) table = 0;
        else if (line[0] != '|') table = -1;
        else if (table >= 0 && line[1] != '-') words[table] += check_line(line, table);
    }
    fclose(page);
    assert_int_equal(words[1], count_operators(NULL));
    assert_true(words[0] > 0);
}

static void options_of_other_files(void **state)
{
    (void)state;
    static const struct {
        stoa_model_options options;
        stoa_status status;
        const char *named;
    } cases[] = {{{.signature = "x:float32:3 -> y:float32:1"}, STOA_EINVAL, "signature"},
                 {{.self_check = 1}, STOA_ENOTSUP, "test vectors"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stoa_model_options options = cases[i].options;
        stoa_model *model;
        stoa_error err;
        options.struct_size = sizeof options;
        assert_int_equal(stoa_model_load(STOA_SOURCE_DIR "/examples/infer.onnx", &options, &model, &err), cases[i].status);
        assert_null(model);
        assert_non_null(strstr(err.message, cases[i].named));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_of_the_page),
        cmocka_unit_test(options_of_other_files),
    };
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
