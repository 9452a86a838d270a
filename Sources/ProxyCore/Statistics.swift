internal import CProxyCore
public import ProxyModel

/// Names of all statistics of this generation, before the block is made.
public final class StatisticsBuilder {
    let handle: OpaquePointer

    public init() {
        guard let handle = px_stats_builder_create() else { preconditionFailure("no memory at start") }
        self.handle = handle
    }
    deinit { px_stats_builder_destroy(handle) }

    public enum Kind { case counter, gauge, gaugeNeverImported, histogram }

    public func add(_ name: String, _ kind: Kind) throws(CoreError) -> Statistic {
        let raw: px_stat_kind =
            switch kind {
            case .counter: .PX_STAT_COUNTER
            case .gauge, .gaugeNeverImported: .PX_STAT_GAUGE
            case .histogram: .PX_STAT_HISTOGRAM
            }
        let mode: px_stat_import = kind == .gaugeNeverImported ? .PX_IMPORT_NEVER : .PX_IMPORT_ACCUMULATE
        let slot = px_stats_builder_add(handle, name, raw, mode)
        guard slot >= 0 else { throw CoreError(code: slot, call: "register statistic", object: name) }
        return Statistic(slot: UInt32(slot))
    }

    /// Names counted by another generation, so that they can be folded here. Returns how many did not fit under `limit`.
    public func addNames(of descriptor: Descriptor, limit: UInt32) -> Int {
        max(0, Int(px_stats_builder_add_block(handle, descriptor.fd, limit)))
    }
}

public struct Statistic: Sendable, Hashable {
    let slot: UInt32
}

/// Own statistics block and a reader over all relatives'. Main thread only.
public final class Statistics {
    let block: OpaquePointer
    private let reader: OpaquePointer

    public init(_ builder: StatisticsBuilder, shards: UInt32, epoch: UInt64) throws(CoreError) {
        let block = try created("memfd_create") { px_stats_block_create(builder.handle, shards, epoch, &$0) }
        guard let reader = px_stats_reader_create(block) else {
            px_stats_block_destroy(block)
            throw CoreError(code: -12, call: "statistics reader")
        }
        self.block = block
        self.reader = reader
    }

    deinit {
        px_stats_reader_destroy(reader)
        px_stats_block_destroy(block)
    }

    /// Lent.
    public var fd: Int32 { px_stats_block_fd(block) }
    public var id: UInt64 { px_stats_block_id(block) }
    public var bytes: UInt64 { px_stats_block_bytes(block) }

    public func add(_ statistic: Statistic, _ delta: Int64 = 1) { px_stats_add(block, statistic.slot, delta) }
    public func set(_ statistic: Statistic, _ value: Int64) { px_stats_set(block, statistic.slot, value) }
    public func record(_ statistic: Statistic, _ value: UInt64) { px_stats_record(block, statistic.slot, value) }

    /// Map a relative's block; returns its id, nil where it was known already. `onlyOf`: the epoch it has to be of.
    public func attach(_ descriptor: Descriptor, onlyOf epoch: UInt64? = nil) throws(CoreError) -> UInt64? {
        var id: UInt64 = 0
        var detail = px_detail()
        let result =
            if let epoch {
                px_stats_reader_attach_fd_of(reader, epoch, descriptor.fd, &id, &detail)
            } else {
                px_stats_reader_attach_fd(reader, descriptor.fd, &id, &detail)
            }
        if result == -17 { return nil }
        guard result == 0 else { throw detail.code == 0 ? CoreError(code: result, call: "attach statistics") : CoreError(detail) }
        _ = descriptor.release()
        return id
    }

    /// The owner of this block is dead.
    public func fold(_ id: UInt64) { _ = px_stats_reader_fold(reader, id) }

    public struct Relative { public var id: UInt64, epoch: UInt64, fd: Int32 }
    public var relatives: [Relative] {
        (0..<px_stats_reader_count(reader)).map {
            Relative(id: px_stats_reader_block_id(reader, $0), epoch: px_stats_reader_epoch(reader, $0), fd: px_stats_reader_fd(reader, $0))
        }
    }

    public func value(_ name: String) -> Int64 { px_stats_reader_value(reader, name) }
    /// nil: all counters and histograms read 0 from now on.
    public func reset() -> CoreError? {
        let result = px_stats_reader_reset(reader)
        return result == 0 ? nil : CoreError(code: result, call: "reset statistics")
    }

    public func collect() -> [StatSample] {
        final class Sink { var samples: [StatSample] = [] }
        let sink = Sink()
        px_stats_reader_collect(
            reader,
            { stat, context in
                let sink = Unmanaged<Sink>.fromOpaque(context!).takeUnretainedValue()
                sink.samples.append(StatSample(stat.pointee))
            }, Unmanaged.passUnretained(sink).toOpaque())
        return sink.samples
    }

    /// Lowest value of every histogram bucket.
    public static let bucketLows: [UInt64] = (0..<UInt32(PX_HISTOGRAM_BUCKETS)).map {
        var low: UInt64 = 0
        var high: UInt64 = 0
        px_histogram_bounds($0, &low, &high)
        return low
    }
}

extension StatSample {
    init(_ raw: px_stat) {
        let value: Value =
            switch raw.kind {
            case .PX_STAT_COUNTER: .counter(raw.counter)
            case .PX_STAT_GAUGE: .gauge(raw.gauge)
            case .PX_STAT_HISTOGRAM:
                .histogram(
                    count: raw.histogram_count, sum: raw.histogram_sum,
                    counts: raw.buckets.map { Array(UnsafeBufferPointer(start: $0, count: Int(PX_HISTOGRAM_BUCKETS))) } ?? [])
            }
        self.init(name: String(cString: raw.name), value: value, used: raw.used)
    }
}
