/* SPDX-License-Identifier: Apache-2.0 */
/* Internal: the one check that all entry points of libstoa_reco share. */
#ifndef RECO_CHECK_H
#define RECO_CHECK_H

#include "stoa/status.h"

#define RECO_NEED(err, what, pointer) \
    do { \
        if (!(pointer)) return STOA_FAIL((err), STOA_EINVAL, "%s: '%s' is NULL", (what), #pointer); \
    } while (0)

#endif
