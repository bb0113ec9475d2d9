/* SPDX-License-Identifier: Apache-2.0 */
/** The 64-bit words of Phase-2 L1 scouting: event headers and PUPPI candidates, taken apart and put together.
 *
 *  One place for the bits: readers, the unpacker, the generator and tests use these functions. An event is a header and
 *  its candidates; zero words between events are padding. Not for tracker muons (96 bits, tracker_muons.h).
 *
 *      word = reco_puppi_word(pt / 0.25, eta / RECO_SCOUT_ANGLE, phi / RECO_SCOUT_ANGLE, RECO_PID_PIPLUS, z0 / 0.05, 0, 1);
 *      if (reco_scout_kind(word) == RECO_SCOUT_EVENT) skip = reco_scout_count(word);
 *
 *  Source: the field tables of gpetruc/p2-scouting-clients. All functions: owns nothing, threads any, errors none. */
#ifndef RECO_SCOUTING_WORDS_H
#define RECO_SCOUTING_WORDS_H

#include "stoa/kernel.h"

#define RECO_SCOUT_BX_MAX 3563u
#define RECO_SCOUT_COUNT_MAX 4095u                   /**< candidates of an event: 12 bits */
#define RECO_SCOUT_ANGLE ((float)(3.141592653589793 / 720)) /**< rad for one unit of eta and phi */

/** Kinds of candidates, 3 bits. The lowest bit of charged ones is their charge: 0 negative, 1 positive. */
enum {
    RECO_PID_H0,
    RECO_PID_PHOTON,
    RECO_PID_PIMINUS,
    RECO_PID_PIPLUS,
    RECO_PID_EMINUS,
    RECO_PID_EPLUS,
    RECO_PID_MUMINUS,
    RECO_PID_MUPLUS
};

/** The particle number: 130, 22, -211, 211, 11, -11, 13, -13. Sizes are a byte each, signs a bit. */
STOA_DEVICE int32_t reco_puppi_pdgid(uint32_t pid)
{
    const int32_t size = (int32_t)(UINT64_C(0x0d0d0b0bd3d31682) >> (8u * pid) & 0xffu), negative = -(int32_t)(0xa4u >> pid & 1u);
    return (size ^ negative) - negative;
}

/** What bits 63-62 say; candidates have bit 63 clear. */
enum { RECO_SCOUT_EVENT = 2, RECO_SCOUT_TRUNCATED_ORBIT = 3 };

STOA_DEVICE uint32_t reco_bits(uint64_t word, uint32_t first, uint32_t width) { return (uint32_t)(word >> first) & ((1u << width) - 1u); }

/** The same for a field in two's complement. */
STOA_DEVICE int32_t reco_signed_bits(uint64_t word, uint32_t first, uint32_t width)
{
    const uint32_t sign = 1u << (width - 1u);
    return (int32_t)(reco_bits(word, first, width) ^ sign) - (int32_t)sign;
}

STOA_DEVICE uint32_t reco_scout_kind(uint64_t header) { return (uint32_t)(header >> 62); }
STOA_DEVICE uint32_t reco_scout_is_bad(uint64_t header) { return reco_bits(header, 61, 1); }
STOA_DEVICE uint32_t reco_scout_orbit(uint64_t header) { return (uint32_t)(header >> 24); }
STOA_DEVICE uint32_t reco_scout_bx(uint64_t header) { return reco_bits(header, 12, 12); }
STOA_DEVICE uint32_t reco_scout_count(uint64_t header) { return reco_bits(header, 0, 12); }

STOA_DEVICE uint64_t reco_scout_header(uint32_t orbit, uint32_t bx, uint32_t count)
{ return (uint64_t)RECO_SCOUT_EVENT << 62 | (uint64_t)orbit << 24 | (uint64_t)(bx & 0xfffu) << 12 | (count & 0xfffu); }

/** A candidate; `z0_or_weight` is z0 of charged and the weight of neutral candidates. Values beyond their bits are cut. */
STOA_DEVICE uint64_t reco_puppi_word(uint32_t pt, int32_t eta, int32_t phi, uint32_t pid, int32_t z0_or_weight, int32_t dxy,
                                     uint32_t quality)
{
    return (uint64_t)(pt & 0x3fffu) | (uint64_t)((uint32_t)eta & 0xfffu) << 14 | (uint64_t)((uint32_t)phi & 0x7ffu) << 26 |
           (uint64_t)(pid & 7u) << 37 | (uint64_t)((uint32_t)z0_or_weight & 0x3ffu) << 40 | (uint64_t)((uint32_t)dxy & 0xffu) << 50 |
           (uint64_t)(quality & 7u) << 58;
}

#endif
