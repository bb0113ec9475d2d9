/* SPDX-License-Identifier: Apache-2.0 */
/** Words of a batch to PUPPI candidates in columns, and the look-up of the bunch crossings.
 *
 *  Decoding happens where the words are, a device's memory or the mapped file. Counts of crossings and candidates are known
 *  on the host (the reader found the headers) and are written to the look-up's scalars for the kernels behind.
 *
 *      reco_scout_unpack args = {batch->words, batch->header, batch->crossings, batch->candidates, 0, puppi, crossings};
 *      reco_scout_unpack_enqueue(queue, &args, &err);
 *      // puppi.pt[crossings.offset[i] + k]: candidate k of crossing i
 *
 *  The PUPPI weight of charged candidates is 1, that of neutral ones bits / 256. All values are float products of an
 *  integer and the word's unit, so any back end gives the same bits. */
#ifndef RECO_SCOUTING_UNPACK_H
#define RECO_SCOUTING_UNPACK_H

#include "reco/export.h"
#include "reco/formats/formats.h"
#include "stoa/queue.h"

STOA_BEGIN_DECLS

/** What to unpack, and where to. */
typedef struct reco_scout_unpack {
    const uint64_t *words;
    const uint32_t *header; /**< [crossings] places of the event headers, ascending; their candidates follow */
    uint32_t crossings, candidates;
    uint32_t slots;          /**< 0: dense. Otherwise the rows of each crossing: unused ones are filled with FLT_MAX and the
                                  largest integers, candidates beyond are left out of the crossing's count */
    puppi_soa puppi;         /**< out: rows >= candidates, or crossings * slots */
    crossings_soa crossings_out; /**< out: rows >= crossings + 1; all columns and scalars */
} reco_scout_unpack;

/** Enqueue the unpacking.
 *
 *  shape    see the struct     units  GeV, cm, rad
 *  owns     borrows all until the queue passes; the struct itself is copied
 *  sync     asynchronous       alloc  none        threads  one at a time per queue
 *  errors   EINVAL null pointer; ESHAPE rows, both values; as stoa_queue_launch
 *  source   word format of gpetruc/p2-scouting-clients (unpack.h); the code is our own        since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_scout_unpack_enqueue(stoa_queue *queue, const reco_scout_unpack *args, stoa_error *err);

/** Level-1 tracker muons: words of 96 bits, two in three words of 64. */
typedef struct reco_muon_unpack {
    const uint64_t *words;
    uint32_t word_count;    /**< word_count * 2 / 3 muons; a word that is left over is none */
    tracker_muons_soa muons; /**< out: rows >= the number of muons */
} reco_muon_unpack;

/** Enqueue the unpacking of tracker muons.
 *  shape see the struct   units GeV, cm, rad   owns borrows all until the queue passes   sync asynchronous   alloc none
 *  threads one at a time per queue   errors EINVAL; ESHAPE; as stoa_queue_launch   source L1TriggerScouting/Phase2   since 0.1 */
RECO_API STOA_MUST_CHECK stoa_status reco_muon_unpack_enqueue(stoa_queue *queue, const reco_muon_unpack *args, stoa_error *err);

STOA_END_DECLS
#endif
