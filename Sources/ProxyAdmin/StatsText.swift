import ProxyModel

/// `/stats` as text: counters and gauges by name, then histograms. Only whole-time values are kept, so the interval's are "nan".
enum StatsText {
    static func text(_ samples: [StatSample], lows: [UInt64], buckets: StatsPage.Buckets) -> String {
        var out = ""
        var histograms = ""
        for sample in samples {
            switch sample.value {
            case .counter(let value): out += "\(sample.name): \(value)\n"
            case .gauge(let value): out += "\(sample.name): \(value)\n"
            case .histogram(_, _, let counts):
                histograms += "\(sample.name): \(histogram(HistogramSummary(counts: counts, lows: lows), buckets))\n"
            }
        }
        return out + histograms
    }

    private static func histogram(_ summary: HistogramSummary, _ buckets: StatsPage.Buckets) -> String {
        guard summary.total > 0 else { return "No recorded values" }
        switch buckets {
        case .summary:
            return HistogramSummary.quantiles.map { percent in
                "P\(HistogramSummary.text(percent))(nan,\(summary.quantile(percent).map(HistogramSummary.text) ?? "nan"))"
            }.joined(separator: " ")
        case .cumulative, .disjoint:
            return summary.buckets(buckets).map { "B\(HistogramSummary.text($0.bound))(nan,\($0.count))" }.joined(separator: " ")
        }
    }
}

extension HistogramSummary {
    /// Envoy's buckets with their counts: each alone, or with all below it.
    func buckets(_ kind: StatsPage.Buckets) -> [(bound: Double, count: UInt64)] {
        var below: UInt64 = 0
        return Self.bounds.map { bound in
            let upTo = count(upTo: bound)
            defer { below = upTo }
            return (bound, kind == .disjoint ? upTo &- below : upTo)
        }
    }
}
