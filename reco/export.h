/* SPDX-License-Identifier: Apache-2.0 */
/* Marks the public functions of libstoa_reco; everything else is hidden. */
#ifndef RECO_EXPORT_H
#define RECO_EXPORT_H

#include "stoa/export.h"

#define RECO_API STOA_API

#endif
