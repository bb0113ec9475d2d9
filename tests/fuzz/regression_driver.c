/* SPDX-License-Identifier: Apache-2.0 */
/* Replays files through a fuzz target: regression_driver DIR_OR_FILE... A folder without files is a failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The buffer ends where the file does, so that a sanitizer sees every read beyond it. */
static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    rewind(file);
    uint8_t *data = size >= 0 ? malloc((size_t)size + (size == 0)) : NULL;
    const int whole = data && fread(data, 1, (size_t)size, file) == (size_t)size;
    fclose(file);
    if (whole) LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return whole;
}

static int replay_folder(const char *folder)
{
    char path[2048];
    int count = 0;
    DIR *entries = opendir(folder);
    if (!entries) return replay(folder);
    for (const struct dirent *entry; (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        count += replay(path);
    }
    closedir(entries);
    return count;
}

int main(int argc, char **argv)
{
    int empty = argc < 2;
    for (int i = 1; i < argc; i++) {
        const int count = replay_folder(argv[i]);
        printf("%s: %d files\n", argv[i], count);
        empty |= count == 0;
    }
    return empty;
}
