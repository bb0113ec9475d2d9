/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/aoti/image.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#else
#define HOST_MACHINE EM_NONE
#endif

/* The dynamic symbols and their names; checked to lie inside the image. */
typedef struct symbols {
    Elf64_Sym *table;
    size_t count;
    const char *names;
    size_t names_bytes;
} symbols;

static bool inside(size_t bytes, uint64_t offset, uint64_t size) { return offset <= bytes && size <= bytes - offset; }

static stoa_status check_header(const Elf64_Ehdr *header, size_t bytes, stoa_error *err)
{
    if (bytes < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return STOA_FAIL(err, STOA_EFORMAT, "package: the model's library is no ELF file (%zu bytes)", bytes);
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_machine != HOST_MACHINE)
        return STOA_FAIL(err, STOA_ENOTSUP, "package: compiled for ELF machine %u, class %u; this is machine %u, class %u",
                         header->e_machine, header->e_ident[EI_CLASS], HOST_MACHINE, ELFCLASS64);
    if (header->e_type != ET_DYN || header->e_shentsize != sizeof(Elf64_Shdr) ||
        !inside(bytes, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr)) || header->e_shoff % 8)
        return STOA_FAIL(err, STOA_EFORMAT, "package: the model's library has no section table inside its %zu bytes", bytes);
    return STOA_OK;
}

static stoa_status find_symbols(void *data, size_t bytes, symbols *found, stoa_error *err)
{
    const Elf64_Ehdr *header = data;
    STOA_TRY(check_header(header, bytes, err));
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(const void *)((const char *)data + header->e_shoff), *dynamic = NULL;
    for (uint32_t i = 0; i < header->e_shnum && !dynamic; i++)
        if (sections[i].sh_type == SHT_DYNSYM) dynamic = &sections[i];
    if (!dynamic || dynamic->sh_link >= header->e_shnum || dynamic->sh_entsize != sizeof(Elf64_Sym) || dynamic->sh_offset % 8 ||
        !inside(bytes, dynamic->sh_offset, dynamic->sh_size))
        return STOA_FAIL(err, STOA_EFORMAT, "package: the model's library has no dynamic symbols inside its %zu bytes", bytes);
    const Elf64_Shdr *names = &sections[dynamic->sh_link];
    if (names->sh_size == 0 || !inside(bytes, names->sh_offset, names->sh_size) ||
        ((const char *)data)[names->sh_offset + names->sh_size - 1])
        return STOA_FAIL(err, STOA_EFORMAT, "package: the names of the model's library lie outside its %zu bytes", bytes);
    *found = (symbols){(Elf64_Sym *)(void *)((char *)data + dynamic->sh_offset), dynamic->sh_size / sizeof(Elf64_Sym),
                       (const char *)data + names->sh_offset, names->sh_size};
    return STOA_OK;
}

static const char *name_of(const symbols *s, const Elf64_Sym *symbol)
{ return symbol->st_name < s->names_bytes ? s->names + symbol->st_name : ""; }

static bool is_import(const symbols *s, const Elf64_Sym *symbol) { return symbol->st_shndx == SHN_UNDEF && *name_of(s, symbol); }

stoa_status stoai_image_bind(void *data, size_t bytes, image_resolver resolve, void *user, stoa_error *err)
{
    symbols s;
    STOA_TRY(find_symbols(data, bytes, &s, err));
    for (Elf64_Sym *symbol = s.table; symbol < s.table + s.count; symbol++) {
        void *address = is_import(&s, symbol) ? resolve(user, name_of(&s, symbol)) : NULL;
        if (!address) continue;
        symbol->st_info = ELF64_ST_INFO(STB_LOCAL, ELF64_ST_TYPE(symbol->st_info));
        symbol->st_other = STV_DEFAULT;
        symbol->st_shndx = SHN_ABS;
        symbol->st_value = (Elf64_Addr)(uintptr_t)address;
    }
    return STOA_OK;
}

const char *stoai_image_open_import(const void *data, size_t bytes, const char *const *prefixes)
{
    symbols s;
    if (find_symbols((void *)(uintptr_t)data, bytes, &s, NULL) != STOA_OK) return NULL; /* read only, in spite of the type */
    for (const Elf64_Sym *symbol = s.table; symbol < s.table + s.count; symbol++)
        for (const char *const *prefix = prefixes; is_import(&s, symbol) && *prefix; prefix++)
            if (strncmp(name_of(&s, symbol), *prefix, strlen(*prefix)) == 0) return name_of(&s, symbol);
    return NULL;
}

/* The dynamic linker knows a loaded library by its path as well, and the number of a closed file comes again: so each load gets a
 * path of its own to the same folder, its number spelled in "./" and ".//". */
static void unique_path(char *path, size_t capacity, int file)
{
    static atomic_uint loads;
    size_t used = (size_t)snprintf(path, capacity, "/proc/self/fd/");
    for (unsigned number = atomic_fetch_add(&loads, 1); number; number >>= 1)
        used += (size_t)snprintf(path + used, capacity - used, number & 1 ? ".//" : "./");
    snprintf(path + used, capacity - used, "%d", file);
}

static stoa_status write_all(int file, const char *data, size_t bytes, stoa_error *err)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t wrote = write(file, data + done, bytes - done);
        if (wrote > 0) done += (size_t)wrote;
        if (wrote <= 0 && errno != EINTR)
            return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "package: %zu of %zu bytes in memory: %s", done, bytes, strerror(errno));
    }
    return STOA_OK;
}

stoa_status stoai_image_load(const void *data, size_t bytes, void **library, stoa_error *err)
{
    char path[160];
    *library = NULL;
    const int file = memfd_create("stoa model", MFD_CLOEXEC);
    if (file < 0) return stoa_error_set(err, STOA_EIO, errno, STOA_HERE, "package: memfd_create: %s", strerror(errno));
    stoa_status status = write_all(file, data, bytes, err);
    unique_path(path, sizeof path, file);
    if (status == STOA_OK && !(*library = dlopen(path, RTLD_NOW | RTLD_LOCAL)))
        status = STOA_FAIL(err, STOA_ENOTSUP, "package: the model's library cannot be loaded: %s", dlerror());
    close(file);
    return status;
}
