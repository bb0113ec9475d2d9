/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- Folders and files. ---- */

char *output_path(const char *dir, const char *name)
{
    const size_t bytes = strlen(dir) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path) snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

stoa_status output_make_dir(const char *dir, stoa_error *err)
{
    char *path = strdup(dir);
    if (!path) return STOA_FAIL(err, STOA_ENOMEM, "folder '%s': no memory", dir);
    int failed = 0;
    for (char *slash = path; !failed && slash;) {
        slash = strchr(slash + 1, '/');
        if (slash) *slash = '\0';
        failed = *path && mkdir(path, 0777) && errno != EEXIST ? errno : 0;
        if (slash) *slash = '/';
    }
    struct stat info;
    if (!failed && (stat(dir, &info) || !S_ISDIR(info.st_mode))) failed = ENOTDIR;
    free(path);
    if (!failed) return STOA_OK;
    return stoa_error_set(err, STOA_EIO, failed, STOA_HERE, "folder '%s': %s", dir, strerror(failed));
}

FILE *output_open(const char *dir, const char *name, stoa_error *err)
{
    char *path = output_path(dir, name);
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) (void)stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "%s/%s: %s", dir, name, strerror(errno));
    free(path);
    return file;
}

stoa_status output_close(FILE *file, const char *dir, const char *name, stoa_error *err)
{
    const int bad = ferror(file);
    if (!fclose(file) && !bad) return STOA_OK;
    return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "%s/%s: %s", dir, name, strerror(errno));
}

stoa_status output_summary(const char *dir, const json_t *summary, stoa_error *err)
{
    char *path = output_path(dir, "summary.json");
    const bool failed = !path || json_dump_file(summary, path, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    free(path);
    if (!failed) return STOA_OK;
    return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "%s/summary.json cannot be written", dir);
}

/* ---- Models: installed beside the program, or in the source tree. ---- */

bool output_find_model(const char *name, char *path, size_t capacity)
{
    char self[PATH_MAX] = "";
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length > 0) {
        self[length] = '\0';
        char *slash = strrchr(self, '/');
        if (slash) *slash = '\0';
        static const char *const places[] = {"../share/stoa/models", "../share/stoa"};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            const int used = snprintf(path, capacity, "%s/%s/%s", self, places[i], name);
            if (used > 0 && (size_t)used < capacity && !access(path, R_OK)) return true;
        }
    }
    snprintf(path, capacity, "%s/models/%s", STOA_SOURCE_DIR, name);
    return !access(path, R_OK);
}

/* ---- Pictures. ---- */

/* Common look: colours that colour-blind readers tell apart, thin grid, no box on top and right. */
static const char style[] = "set terminal pngcairo size 1100,720 font 'Sans,13' background '#ffffff'\n"
                            "set border 3 lw 1.2\nset tics nomirror out\nset grid lc rgb '#dddddd' lw 0.8\nset key top left reverse "
                            "Left samplen 2\n"
                            "TRUE = '#0072b2'; DUP = '#e69f00'; FAKE = '#d55e00'; GREY = '#888888'; GREEN = '#009e73'\n";

stoa_status output_script(const char *dir, const char *picture, stoa_error *err, const char *format, ...)
{
    char name[64];
    snprintf(name, sizeof name, "%s.gp", picture);
    FILE *file = output_open(dir, name, err);
    if (!file) return STOA_EIO;
    fprintf(file, "# gnuplot %s\n%sset output '%s.png'\n", name, style, picture);
    va_list args;
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    return output_close(file, dir, name, err);
}

stoa_status output_draw(const char *dir, const char *picture, stoa_error *err)
{
    char script[64], program[] = "gnuplot";
    snprintf(script, sizeof script, "%s.gp", picture);
    char *const argv[] = {program, script, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int failed = posix_spawn_file_actions_init(&actions), state = 0;
    if (failed) return stoa_error_set(err, STOA_ENOMEM, failed, STOA_HERE, "gnuplot: %s", strerror(failed));
    failed = posix_spawn_file_actions_addchdir_np(&actions, dir);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    if (!failed) failed = posix_spawnp(&pid, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed)
        return stoa_error_set(err, STOA_ENOTSUP, failed, STOA_HERE, "pictures: gnuplot: %s; the scripts are %s/*.gp", strerror(failed),
                              dir);
    while (waitpid(pid, &state, 0) < 0)
        if (errno != EINTR) return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "gnuplot: %s", strerror(errno));
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return STOA_OK;
    /* posix_spawn of some systems reports a missing program only so. */
    if (WIFEXITED(state) && WEXITSTATUS(state) == 127)
        return STOA_FAIL(err, STOA_ENOTSUP, "pictures: gnuplot is not installed; the scripts are %s/*.gp", dir);
    return STOA_FAIL(err, STOA_EIO, "gnuplot %s/%s: ended with state %d", dir, script, state);
}
