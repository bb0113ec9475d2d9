/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: the forms of the decoder in a processor's core. All give the same bits. */
#ifndef RECO_SCOUTING_DECODE_FORMS_H
#define RECO_SCOUTING_DECODE_FORMS_H

#include "reco/scouting/decode.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include "reco/scouting/decode_x86.h"
#define DECODE_X86 1
#endif

static void decode_one_by_one(const word_source *from, const puppi_soa *out, uint32_t first, uint32_t end, bool past_caches)
{
    (void)past_caches;
    decode_words(from, out, first, end);
}
static bool decode_one_by_one_runs(void) { return true; }

typedef struct decode_form {
    const char *name;
    bool (*runs)(void); /* on this processor */
    /* Rows [first, end). Columns past the caches: they are aligned to 64 bytes, and `first` is a multiple of 64. */
    void (*decode)(const word_source *from, const puppi_soa *out, uint32_t first, uint32_t end, bool past_caches);
} decode_form;

/* Best first. */
static const decode_form decode_forms[] = {
#ifdef DECODE_X86
    {"avx512", decode_avx512_runs, decode_by_avx512},
    {"avx2", decode_avx2_runs, decode_by_avx2},
#endif
    {"plain", decode_one_by_one_runs, decode_one_by_one},
};
#define DECODE_FORMS (sizeof decode_forms / sizeof *decode_forms)

#endif
