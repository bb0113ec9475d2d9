/* SPDX-License-Identifier: Apache-2.0 */
/* The library inside a package before it is loaded: imports bound to functions of this program, damaged images refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/aoti/image.h"

static char *image;
static size_t image_bytes;

static char *copy_image(void)
{
    char *copy = malloc(image_bytes);
    memcpy(copy, image, image_bytes);
    return copy;
}

static int answer(void) { return 42; }

static void *resolve(void *user, const char *name)
{
    union {
        int (*function)(void);
        void *object;
    } address = {.function = answer};
    (*(int *)user)++;
    return strcmp(name, "stoa_test_import") == 0 ? address.object : NULL;
}

static void imports_are_bound(void **state)
{
    static const char *const ours[] = {"stoa_test_", NULL};
    (void)state;
    stoa_error err = {0};
    void *first, *second;
    int asked = 0;
    char *copy = copy_image();
    assert_string_equal(stoai_image_open_import(copy, image_bytes, ours), "stoa_test_import");
    assert_int_equal(stoai_image_load(copy, image_bytes, &first, &err), STOA_ENOTSUP); /* nobody serves it */
    assert_non_null(strstr(err.message, "stoa_test_import"));
    assert_int_equal(stoai_image_bind(copy, image_bytes, resolve, &asked, &err), STOA_OK);
    assert_true(asked > 0);
    assert_null(stoai_image_open_import(copy, image_bytes, ours));
    assert_int_equal(stoai_image_load(copy, image_bytes, &first, &err), STOA_OK);
    assert_int_equal(stoai_image_load(copy, image_bytes, &second, &err), STOA_OK);
    assert_ptr_not_equal(first, second); /* two models are two libraries, whatever file numbers the process reuses */
    union {
        void *object;
        int (*function)(void);
    } call = {dlsym(first, "stoa_test_call")};
    assert_non_null(call.object);
    assert_int_equal(call.function(), 43);
    dlclose(second);
    dlclose(first);
    free(copy);
}

/* Every field of the header and of the section table, damaged: refused or harmless, never read outside. */
static void damaged_images(void **state)
{
    (void)state;
    int asked = 0, refused = 0, tried = 0;
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)(const void *)image;
    const size_t sections = header->e_shoff;
    for (size_t at = 0; at < image_bytes; at = at + 1 == sizeof(Elf64_Ehdr) ? sections : at + 1)
        for (int value = 0; value < 3; value++) {
            char *copy = copy_image(); /* its end is the end of the block: the sanitizer sees a byte beyond */
            copy[at] = (char)(value == 0 ? 0 : value == 1 ? 0xff : copy[at] ^ 0x40);
            refused += stoai_image_bind(copy, image_bytes, resolve, &asked, NULL) != STOA_OK;
            tried++;
            free(copy);
        }
    for (size_t bytes = 0; bytes < image_bytes; bytes += 1 + image_bytes / 257) {
        char *copy = malloc(bytes ? bytes : 1);
        memcpy(copy, image, bytes);
        assert_int_equal(stoai_image_bind(copy, bytes, resolve, &asked, NULL), STOA_EFORMAT);
        free(copy);
    }
    print_message("%d damaged images, %d refused\n", tried, refused);
    assert_true(refused > 50 && refused < tried);
}

static void other_machines(void **state)
{
    (void)state;
    stoa_error err = {0};
    int asked = 0;
    char *copy = copy_image();
    ((Elf64_Ehdr *)(void *)copy)->e_machine = EM_SPARC;
    assert_int_equal(stoai_image_bind(copy, image_bytes, resolve, &asked, &err), STOA_ENOTSUP);
    assert_non_null(strstr(err.message, "machine 2"));
    free(copy);
}

static int read_image(void **state)
{
    (void)state;
    FILE *file = fopen(getenv("STOA_TEST_IMAGE"), "rb");
    if (!file) return -1;
    fseek(file, 0, SEEK_END);
    image_bytes = (size_t)ftell(file);
    image = malloc(image_bytes);
    rewind(file);
    const size_t got = fread(image, 1, image_bytes, file);
    fclose(file);
    return got == image_bytes ? 0 : -1;
}

static int free_image(void **state)
{
    (void)state;
    free(image);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(imports_are_bound), cmocka_unit_test(damaged_images),
                                       cmocka_unit_test(other_machines)};
    return cmocka_run_group_tests_name("image", tests, read_image, free_image);
}
