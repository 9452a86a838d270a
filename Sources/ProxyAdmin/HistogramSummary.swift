/// What can be told of a histogram from its buckets.
struct HistogramSummary {
    /// Envoy's quantiles, in percent.
    static let quantiles: [Double] = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]
    /// Upper bounds of the buckets that Envoy shows.
    static let bounds: [Double] = [
        0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300_000, 600_000, 1_800_000, 3_600_000,
    ]

    let counts: [UInt64]
    let lows: [UInt64]
    let total: UInt64

    /// The counts come from memory that other processes write: whatever they are, the sums wrap rather than trap, and buckets
    /// without a low are left out.
    init(counts: [UInt64], lows: [UInt64]) {
        self.counts = Array(counts.prefix(lows.count))
        self.lows = lows
        total = self.counts.reduce(0, &+)
    }

    /// Value below which `percent` of the recorded values lie, interpolated within its bucket; nil where nothing was recorded.
    func quantile(_ percent: Double) -> Double? {
        guard total > 0 else { return nil }
        let wanted = percent / 100 * Double(total)
        var before: UInt64 = 0
        var last: Double?
        for (index, count) in counts.enumerated() where count > 0 {
            let low = Double(lows[index])
            let width = high(index) - low
            if Double(before &+ count) >= wanted {
                let fraction = max(0, wanted - Double(before)) / Double(count)
                return width <= 1 ? low : low + width * fraction
            }
            before &+= count
            last = low + width
        }
        return last
    }

    /// How many values were at most `bound`, the bucket that it cuts counted in part.
    func count(upTo bound: Double) -> UInt64 {
        var sum: UInt64 = 0
        for (index, count) in counts.enumerated() where count > 0 {
            let low = Double(lows[index])
            guard low <= bound else { break }
            // Values are whole numbers: the bucket holds low, low+1, … high-1.
            let width = high(index) - low
            let inside = min(width, bound.rounded(.down) - low + 1)
            sum &+= inside >= width ? count : UInt64(exactly: (Double(count) * inside / width).rounded()) ?? count
        }
        return sum
    }

    /// Lowest value above the bucket. The last one is taken to be as wide as the one before.
    private func high(_ index: Int) -> Double {
        if index + 1 < lows.count { return Double(lows[index + 1]) }
        return Double(lows[index]) + (index > 0 ? Double(lows[index]) - Double(lows[index - 1]) : 1)
    }

    /// At most three decimals, none that say nothing: `10`, `10.5`, `0.125`.
    static func text(_ value: Double) -> String {
        let thousandths = (value * 1000).rounded()
        guard thousandths.magnitude < 9e15 else { return "\(value)" }
        let whole = Int64(thousandths)
        guard whole % 1000 != 0 else { return String(whole / 1000) }
        var decimals = String(1000 + whole.magnitude % 1000).dropFirst()
        while decimals.last == "0" { decimals.removeLast() }
        return "\(whole < 0 ? "-" : "")\(whole.magnitude / 1000).\(decimals)"
    }
}
