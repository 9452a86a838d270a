/// Statistics in shared memory. One sealed memfd per generation (the *stats block*), written by its owner alone, readable by
/// every relative. docs/design/0003-statistics.md has the layout and the folding rules.
///
/// Layout of a block: header, directory (names, kinds, import modes), base (two copies and an index word, so that a death in
/// the middle of folding leaves one whole copy), folded ids, then one cache-line-aligned shard per writer thread.
#ifndef PX_STATS_H
#define PX_STATS_H

#include "px_base.h"

PX_ASSUME_NONNULL_BEGIN

enum PX_CLOSED_ENUM px_stat_kind { PX_STAT_COUNTER = 0, PX_STAT_GAUGE = 1, PX_STAT_HISTOGRAM = 2 };
/// How a gauge is summed over generations (Envoy's import modes). Counters and histograms are always summed.
enum PX_CLOSED_ENUM px_stat_import { PX_IMPORT_ACCUMULATE = 0, PX_IMPORT_NEVER = 1 };

#define PX_STAT_NAME_MAX 512
/// Histogram buckets: log-linear, 4 per octave, values 0 … 2^40; see px_histogram_bounds.
#define PX_HISTOGRAM_BUCKETS 160

typedef struct px_stats_builder px_stats_builder;
typedef struct px_stats_block px_stats_block;
typedef struct px_stats_reader px_stats_reader;

PX_API PX_MUST_USE px_stats_builder *PX_NULLABLE px_stats_builder_create(void);
PX_API void px_stats_builder_destroy(px_stats_builder *PX_NULLABLE builder);
/// Add a statistic; adding a name again gives the same slot. Returns slot >= 0, or -EINVAL (name empty, too long or of another
/// kind), -ENOMEM. Slots are dense indices, used by px_stats_add and inside the core.
PX_API PX_MUST_USE int px_stats_builder_add(px_stats_builder *builder, const char *name, enum px_stat_kind kind, enum px_stat_import import);
/// Add the names of all counters and histograms of another block, so that what it counted can be folded here even where this
/// generation's own configuration does not have the name. At most `limit` names. Returns how many were left out, or -errno.
PX_API PX_MUST_USE int px_stats_builder_add_block(px_stats_builder *builder, int fd, uint32_t limit);

/// Make the block: memfd, sealed (no shrink, no grow, no further writers), mapped. `shards`: writer threads (workers + 1; the
/// last is the main thread's). The builder stays the caller's. NULL with `detail` filled on failure (errno, bytes asked for,
/// limit found).
PX_API PX_MUST_USE px_stats_block *PX_NULLABLE px_stats_block_create(const px_stats_builder *builder, uint32_t shards, uint64_t epoch, struct px_detail *detail);
/// Unmap and close. No thread may write any more.
PX_API void px_stats_block_destroy(px_stats_block *PX_NULLABLE block);
/// The memfd, to be passed on; stays the block's.
PX_API int px_stats_block_fd(const px_stats_block *block);
PX_API uint64_t px_stats_block_id(const px_stats_block *block);
PX_API uint64_t px_stats_block_bytes(const px_stats_block *block);

/// Add to a counter or gauge of the main thread's shard. thread: owner.
PX_API void px_stats_add(px_stats_block *block, uint32_t slot, int64_t delta);
/// Set a gauge of the main thread's shard. thread: owner.
PX_API void px_stats_set(px_stats_block *block, uint32_t slot, int64_t value);
/// Record a histogram value in the main thread's shard. thread: owner.
PX_API void px_stats_record(px_stats_block *block, uint32_t slot, uint64_t value);

/// Reader over own block, relatives' blocks and the base. Owns the views it opened. thread: owner.
PX_API PX_MUST_USE px_stats_reader *PX_NULLABLE px_stats_reader_create(px_stats_block *own);
PX_API void px_stats_reader_destroy(px_stats_reader *PX_NULLABLE reader);
/// Map a relative's block read-only after checking seals, header, every offset and name. Takes ownership of `fd` on success
/// only. Returns 0, -EEXIST (that block is attached already, is own, or is folded: harmless), -PX_E_INCOMPATIBLE or -errno.
/// `id` (may be NULL) receives the block's id.
PX_API PX_MUST_USE int px_stats_reader_attach_fd(px_stats_reader *reader, int fd, uint64_t *PX_NULLABLE id, struct px_detail *detail);
/// As above, and the block of another epoch than `epoch` is -PX_E_INCOMPATIBLE.
PX_API PX_MUST_USE int px_stats_reader_attach_fd_of(px_stats_reader *reader, uint64_t epoch, int fd, uint64_t *PX_NULLABLE id, struct px_detail *detail);
/// The owner of block `id` is dead: fold its counters and histograms (shards and base) into own base, remember the id (and the
/// ids it had folded), drop the view. Gauges drop out. Folding twice is harmless (returns -ENOENT).
PX_API PX_MUST_USE int px_stats_reader_fold(px_stats_reader *reader, uint64_t id);
/// Number of relatives' blocks attached, and the descriptor and owner epoch of the i-th.
PX_API uint32_t px_stats_reader_count(const px_stats_reader *reader);
PX_API int px_stats_reader_fd(const px_stats_reader *reader, uint32_t index);
PX_API uint64_t px_stats_reader_block_id(const px_stats_reader *reader, uint32_t index);
PX_API uint64_t px_stats_reader_epoch(const px_stats_reader *reader, uint32_t index);

struct px_stat {
    const char *name;               ///< valid during the callback
    enum px_stat_kind kind;
    enum px_stat_import import;
    bool used;                      ///< was ever written (counter not 0, gauge or histogram written)
    uint64_t counter;               ///< COUNTER: the sum
    int64_t gauge;                  ///< GAUGE
    const uint64_t *PX_NULLABLE buckets;  ///< HISTOGRAM: PX_HISTOGRAM_BUCKETS sums, valid during the callback
    uint64_t histogram_count;
    uint64_t histogram_sum;
};
/// Call `each` for every statistic of own block and relatives, summed, in own directory order (relatives' own names after).
PX_API void px_stats_reader_collect(px_stats_reader *reader, void (*each)(const struct px_stat *stat, void *PX_NULLABLE context), void *PX_NULLABLE context);
/// One counter's or gauge's sum by name; 0 where unknown.
PX_API int64_t px_stats_reader_value(px_stats_reader *reader, const char *name);
/// Make all counters and histograms read 0 from now on (admin /reset_counters), carried over to later generations.
PX_API PX_MUST_USE int px_stats_reader_reset(px_stats_reader *reader);

/// Lowest value of bucket `index` and of the next one. thread: any.
PX_API void px_histogram_bounds(uint32_t index, uint64_t *low, uint64_t *high);

PX_ASSUME_NONNULL_END

#endif
