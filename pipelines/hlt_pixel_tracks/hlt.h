/* SPDX-License-Identifier: Apache-2.0 */
/** The HLT pixel-track job: tracks -> preselection -> features -> selector -> compaction -> conversion -> vertices.
 *
 *  Three chains of it: today's (conversion and divisive vertices of all preselected tracks, then cuts and the filter:
 *  `vertices_first`), the studied one (selector, then conversion and divisive vertices), and the one that never leaves the
 *  device (selector, then vertices by density).
 *
 *  Each event runs on the one queue of one stream; the host waits nowhere in the middle, for every count
 * stays where the tracks are. All memory is made by hlt_job_create. Events are handed to whichever stream is
 * free, and results lie in places fixed before, so they do not depend on the number of threads or streams. A
 * reference for jobs, not an installed library.
 *
 *      hlt_options options = HLT_OPTIONS_INIT;
 *      options.model = model;
 *      hlt_job_create(&options, events, event_count, &job, &err);
 *      hlt_job_run(job, 0, event_count, &err);
 *      hlt_job_sum(job, &summary);
 *      const hlt_result *r = hlt_job_result(job, 0);     // r->score[i] of track r->index[i]
 *      hlt_job_take(job, more, more_count, &err);         // and so on, in the same memory
 *      hlt_job_destroy(job);
 */
#ifndef HLT_PIXEL_TRACKS_H
#define HLT_PIXEL_TRACKS_H

#include "reco/forest/forest.h"
#include "reco/formats/formats.h"
#include "reco/tracks/cut_classifier.h"
#include "reco/vertexing/divisive.h"
#include "stoa/session.h"

enum { HLT_STREAMS_MAX = 256 };

/** What decides which preselected tracks stay. */
typedef enum hlt_selector {
    HLT_SELECTOR_DNN,    /**< the model's score */
    HLT_SELECTOR_CUTS,   /**< the cut classifier, over vertices that are found first */
    HLT_SELECTOR_FOREST, /**< the forest's score */
    HLT_SELECTOR_NONE,   /**< all stay */
    HLT_SELECTOR_CATRACK /**< the model's score over the hits (reco/tracks/hit_features.h): strict tracks too may pass, and are tight */
} hlt_selector;

typedef enum hlt_vertexing {
    HLT_VERTEXING_DENSITY, /**< on the tracks as they are */
    HLT_VERTEXING_DIVISIVE /**< on legacy tracks, converted before */
} hlt_vertexing;

/** One event on the host. Views are borrowed until the job takes others or is destroyed. */
typedef struct hlt_event {
    int64_t number;
    tracks_soa_const tracks;
    track_hits_soa_const hits;   /**< rows 0: none; then those of the selected tracks are not made */
    rec_hits_soa_const rec_hits; /**< where they are; rows 0: none, and CATRACK fails the event */
    track_truth_soa_const truth; /**< rows 0: none */
    float vertex_z; /**< hard-scatter vertex as generated, or of another finder, cm; NaN: unknown */
} hlt_event;

#define HLT_STAGE_MAP(X) \
    X(UPLOAD, "upload") /* tracks to the device; nothing on the host */ \
    X(PRESELECT, "preselect") \
    X(FEATURES, "features") \
    X(SELECTOR, "selector") /* DNN, forest or cuts */ \
    X(COMPACT, "compact")   /* cut on the score, prefix sum, gather */ \
    X(CONVERT, "convert")   /* legacy tracks, for the divisive finder */ \
    X(VERTICES, "vertices") \
    X(DEVICE, "device") /* on a GPU all of these together: nothing of the host's stands between them */ \
    X(DELIVER, "deliver") /* results to the event's place */
typedef enum hlt_stage {
#define HLT_STAGE_ENUM(name, text) HLT_STAGE_##name,
    HLT_STAGE_MAP(HLT_STAGE_ENUM)
#undef HLT_STAGE_ENUM
        HLT_STAGE_COUNT
} hlt_stage;

typedef struct hlt_options {
    const char *device; /**< "host", "cuda:0" */
    hlt_selector selector;
    hlt_vertexing vertexing;
    const stoa_model *model; /**< [N, 17] or [N, 12] -> [N, 1]; for the DNN track_features.def, for CATRACK hit_features.def */
    bool allow_copies;         /**< of its sessions, for runtimes that cannot take the features as they lie */
    const reco_forest *forest; /**< 31 features: track_features.def, then track_derived.def; for the forest */
    float score_min;         /**< of DNN, forest and CATRACK */
    float score_min_prompt, dxy_knee_cm; /**< the same at |dxy| 0, and where score_min is reached; knee 0: flat, below: EINVAL */
    uint32_t working_point;  /**< of the cuts: RECO_WORKING_TIGHT .. */
    reco_cut_table cuts;
    bool vertices_first;     /**< vertices of the preselected tracks, not of the selected ones */
    reco_vertex_options vertex;
    float vertex_pt_min;     /**< of the density finder, GeV */
    reco_divisive_options divisive;
    reco_divisive_cuts divisive_cuts;
    bool keep_legacy;        /**< legacy tracks are among the results, where the divisive finder has them made */
    reco_beam_spot beam_spot;
    float field_tesla;
    uint32_t threads, streams; /**< at least 1; more threads than streams are not used */
    /** NULL: none; called by the first thread. */
    void (*progress)(void *user, uint32_t done, uint32_t total);
    void *progress_user;
} hlt_options;
#define HLT_OPTIONS_INIT \
    {.device = "host", \
     .score_min = 0.4f, \
     .working_point = RECO_WORKING_HIGH_PURITY, \
     .cuts = RECO_CUT_TABLE_INIT, \
     .vertex = RECO_VERTEX_OPTIONS_INIT, \
     .vertex_pt_min = 0.5f, \
     .divisive = RECO_DIVISIVE_OPTIONS_INIT, \
     .divisive_cuts = RECO_DIVISIVE_CUTS_INIT, \
     .beam_spot = RECO_BEAM_SPOT_INIT, \
     .field_tesla = 3.8f, \
     .threads = 1, \
     .streams = 1}

/** Results of one event, on the host; arrays belong to the job. */
typedef struct hlt_result {
    stoa_status status; /**< not STOA_OK: skipped, all counts but `tracks` are 0 */
    char reason[160];   /**< why */
    uint32_t tracks, preselected, selected;
    uint32_t hits;             /**< of the selected tracks, 0 where the event has none */
    uint32_t converted;        /**< legacy tracks; 0 without a conversion */
    uint32_t usable, vertices; /**< tracks that entered the finder; vertices, the beam spot in place of none too */
    uint32_t tops;             /**< vertices found, with those there was no room for */
    const uint32_t *index;                    /**< [preselected] rows of the event's tracks */
    const float *score;                       /**< [preselected] */
    const uint32_t *kept;                     /**< [selected] rows of the event's tracks, ascending */
    const int16_t *vertex_of;                 /**< [selected] vertex, -1 none */
    const float *z, *weight, *chi2, *pt2_sum; /**< [vertices] cm, 1/cm^2, -, GeV^2 */
    const int32_t *ndof;                      /**< [vertices] */
    const uint16_t *by_pt2;                   /**< [vertices] numbers of the vertices, ascending in pt2_sum */
    /* With keep_legacy: */
    const legacy_tracks_soa_const *legacy;    /**< rows [legacy_first, legacy_first + converted); `source` is a row of the event's tracks
                                                   where vertices come first, else a place in `kept`; NULL: not kept */
    uint32_t legacy_first;
    const int32_t *legacy_of;                 /**< of each such row or place: its legacy track, -1: none */
    double us[HLT_STAGE_COUNT];
} hlt_result;

typedef struct hlt_summary {
    uint32_t events, failed; /**< failed ones are part of events */
    uint64_t tracks, preselected, selected, hits, vertices;
    uint64_t copy_calls, copy_bytes;      /**< of the sessions */
    uint64_t allocations;                 /**< stoa_alloc calls while events ran */
    double us_per_event[HLT_STAGE_COUNT]; /**< mean over the events that ran */
    double wall_us_per_event;             /**< of all calls of run, all threads at work */
} hlt_summary;

typedef struct hlt_job hlt_job;

/** Name of a stage.   owns static   threads any   errors NULL outside the range   since 0.1 */
const char *hlt_stage_name(uint32_t stage);

/** Make the streams: queue, session, memory for the largest event; check the events; run one event on each
 * stream as a warm-up.
 *
 *  owns     caller destroys; borrows events, model and options' strings     alloc all of it
 *  threads  any      errors ENOTSUP device that is not built; EINVAL; ESHAPE features of the forest; as
 * stoa_session_bind; ENOMEM since    0.1 */
STOA_MUST_CHECK stoa_status hlt_job_create(const hlt_options *options, const hlt_event *events, uint32_t event_count, hlt_job **job,
                                           stoa_error *err);
/** Let go of the events, before their memory is used for others: results are gone, but stay in sum and quality.
 *  owns ends the borrow of the events   threads one at a time   errors none   since 0.1 */
void hlt_job_drop(hlt_job *job);
/** Take other events in place of those before, which are dropped as by hlt_job_drop: a file of any length goes through a job window by
 * window. The streams are kept, and made anew only where an event is larger than all before.
 *  owns borrows events   alloc results, rarely streams   threads one at a time   errors as hlt_job_create; the job then has no
 *  events, and destroy is all that is left   since 0.1 */
STOA_MUST_CHECK stoa_status hlt_job_take(hlt_job *job, const hlt_event *events, uint32_t event_count, stoa_error *err);
/** Run `count` events from `first` on, in any number of calls. An event that fails is marked in its result and skipped; of one that
 * runs again the last result stays.
 *  sync blocks until all are done   alloc none but threads   threads one at a time   errors EINVAL range; EDEVICE; ERUNTIME
 *  since 0.1 */
STOA_MUST_CHECK stoa_status hlt_job_run(hlt_job *job, uint32_t first, uint32_t count, stoa_error *err);
/** Sum up what ran or was loaded, with the events of all takes.   owns fills caller's summary   threads one at a time   errors none   since 0.1 */
void hlt_job_sum(const hlt_job *job, hlt_summary *summary);
/** Write the results of `count` events from `first` on to a file for hlt_job_load of the same build.
 *  owns nothing   threads one at a time   errors EIO   since 0.1 */
STOA_MUST_CHECK stoa_status hlt_job_save(const hlt_job *job, uint32_t first, uint32_t count, const char *path, stoa_error *err);
/** Take the results of `count` events from `first` on from a file, instead of running them; those
 * that ran here are left as they are.
 *  owns nothing   threads one at a time   errors EIO; EFORMAT other events, or counts beyond an event's tracks   since 0.1 */
STOA_MUST_CHECK stoa_status hlt_job_load(hlt_job *job, uint32_t first, uint32_t count, const char *path, stoa_error *err);
/** Input of the index-th event.   owns borrowed from hlt_job_create   threads any   errors NULL out of range
 * since 0.1 */
const hlt_event *hlt_job_event(const hlt_job *job, uint32_t index);
/** Result of the index-th event.   owns borrowed until destroy   threads any   errors NULL out of range since
 * 0.1 */
const hlt_result *hlt_job_result(const hlt_job *job, uint32_t index);
/** Destroy; NULL is a no-op.   owns takes `job`   threads one at a time   errors none   since 0.1 */
void hlt_job_destroy(hlt_job *job);

/** How the results compare with the truth. Rates are NaN where nothing is to be compared. */
typedef struct hlt_quality {
    uint64_t true_tracks; /**< in the input of the events that ran: matched, first of their particle */
    uint64_t selected_true, selected_duplicate, selected_fake;
    double efficiency;                /**< selected_true / true_tracks */
    double fake_rate, duplicate_rate; /**< of the selected tracks */
    uint64_t vertex_events; /**< events with a known vertex and at least 3 tracks that enter the finder */
    uint64_t vertex_found;  /**< of these, with a vertex within 1 mm */
} hlt_quality;

/** Compare all results with the truth, with the events of all takes.   owns fills caller's struct   threads any   errors none   since 0.1
 */
void hlt_job_quality(const hlt_job *job, hlt_quality *quality);

#endif
