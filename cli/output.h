/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs that write a folder of results share: paths, files, the summary, pictures by gnuplot; and where their
 * models are. */
#ifndef STOA_CLI_OUTPUT_H
#define STOA_CLI_OUTPUT_H

#include <stdio.h>

#include "cli.h"

/* "dir/name", in a buffer that free() releases; NULL without memory. */
char *output_path(const char *dir, const char *name);
/* As mkdir -p. */
stoa_status output_make_dir(const char *dir, stoa_error *err);
/* Open dir/name for writing; NULL with an EIO. */
FILE *output_open(const char *dir, const char *name, stoa_error *err);
/* Close it; an earlier failure to write is one here. */
stoa_status output_close(FILE *file, const char *dir, const char *name, stoa_error *err);
/* `dir`/summary.json. */
stoa_status output_summary(const char *dir, const json_t *summary, stoa_error *err);

/* The path of a model of the project: installed beside the program, or in the source tree. */
bool output_find_model(const char *name, char *path, size_t capacity);

/* dir/picture.gp: the common style, the output file picture.png, then the text. The style names the colours TRUE, DUP,
 * FAKE, GREY, GREEN. */
STOA_PRINTF(4, 5) stoa_status output_script(const char *dir, const char *picture, stoa_error *err, const char *format, ...);
/* Run `gnuplot picture.gp` in `dir`, its output on our stderr. ENOTSUP when there is no gnuplot. */
stoa_status output_draw(const char *dir, const char *picture, stoa_error *err);

#endif
