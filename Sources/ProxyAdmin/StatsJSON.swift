import ProxyModel

/// `/stats?format=json`
enum StatsJSON {
    static func value(_ samples: [StatSample], lows: [UInt64], buckets: StatsPage.Buckets) -> JSONValue {
        var stats: [JSONValue] = []
        var histograms: [(String, HistogramSummary)] = []
        for sample in samples {
            switch sample.value {
            case .counter(let value): stats.append(.object([.init("name", .string(sample.name)), .init("value", .number(value))]))
            case .gauge(let value): stats.append(.object([.init("name", .string(sample.name)), .init("value", .number(value))]))
            case .histogram(_, _, let counts): histograms.append((sample.name, HistogramSummary(counts: counts, lows: lows)))
            }
        }
        if !histograms.isEmpty {
            let value = buckets == .summary ? quantiles(histograms) : JSONValue.array(histograms.map { bucketList($0, $1, buckets) })
            stats.append(.object([.init("histograms", value)]))
        }
        return .object([.init("stats", .array(stats))])
    }

    private static func quantiles(_ histograms: [(String, HistogramSummary)]) -> JSONValue {
        let computed = histograms.map { name, summary in
            let values = HistogramSummary.quantiles.map { percent in
                JSONValue.object([
                    .init("cumulative", summary.quantile(percent).map { .number(HistogramSummary.text($0)) } ?? .null),
                    .init("interval", .null),
                ])
            }
            return JSONValue.object([.init("name", .string(name)), .init("values", .array(values))])
        }
        return .object([
            .init("supported_quantiles", .array(HistogramSummary.quantiles.map { .number(HistogramSummary.text($0)) })),
            .init("computed_quantiles", .array(computed)),
        ])
    }

    private static func bucketList(_ name: String, _ summary: HistogramSummary, _ kind: StatsPage.Buckets) -> JSONValue {
        let buckets = summary.buckets(kind).map { bucket in
            JSONValue.object([
                .init("upper_bound", .number(HistogramSummary.text(bucket.bound))), .init("interval", .null),
                .init("cumulative", .number(bucket.count)),
            ])
        }
        return .object([.init("name", .string(name)), .init("buckets", .array(buckets))])
    }
}
