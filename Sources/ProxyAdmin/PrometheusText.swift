import ProxyModel

/// `/stats/prometheus`: text exposition format 0.0.4.
struct PrometheusText {
    private struct Family {
        var type: String
        var lines: [String] = []
    }
    private let lows: [UInt64]
    private let fixedLabels: [TagExtraction.Label]
    private var families: [String: Family] = [:]

    init(lows: [UInt64], tags: [(name: String, value: String)]) {
        self.lows = lows
        var fixed: [TagExtraction.Label] = []
        for tag in tags {
            let name = Self.labelName(tag.name)
            if !fixed.contains(where: { $0.name == name }) { fixed.append(TagExtraction.Label(name: name, value: tag.value)) }
        }
        fixedLabels = fixed
    }

    mutating func add(_ samples: [StatSample]) {
        for sample in samples {
            let tags = TagExtraction(sample.name)
            let name = "envoy_" + Self.sanitized(tags.family)
            let labels = withFixed(tags.labels)
            switch sample.value {
            case .counter(let value): add("counter", name, ["\(name){\(Self.text(labels))} \(value)"])
            case .gauge(let value): add("gauge", name, ["\(name){\(Self.text(labels))} \(value)"])
            case .histogram(_, let sum, let counts):
                add("histogram", name, histogram(name, Self.text(labels), sum, HistogramSummary(counts: counts, lows: lows)))
            }
        }
    }

    /// Connections of every living generation, so that a drain can be watched.
    mutating func add(_ generations: [GenerationStatus]) {
        for generation in generations {
            let labels = withFixed([TagExtraction.Label(name: "envoy_generation", value: String(generation.epoch))])
            add(
                "gauge", "envoy_server_generation_connections",
                ["envoy_server_generation_connections{\(Self.text(labels))} \(generation.connections)"])
        }
    }

    /// Counters, then gauges, then histograms, each by name.
    var text: String {
        let sorted = families.sorted { ($0.value.type, $0.key) < ($1.value.type, $1.key) }
        return sorted.map { "# TYPE \($0.key) \($0.value.type)\n" + $0.value.lines.joined(separator: "\n") + "\n" }.joined()
    }

    /// The fixed labels first, as Envoy does; a label that the statistic has itself, and a histogram's `le`, stand alone.
    private func withFixed(_ labels: [TagExtraction.Label]) -> [TagExtraction.Label] {
        fixedLabels.filter { fixed in fixed.name != "le" && !labels.contains { $0.name == fixed.name } } + labels
    }

    /// A label may not begin with a digit.
    private static func labelName(_ tag: String) -> String {
        let name = sanitized(tag)
        return name.utf8.first.map { (0x30...0x39).contains($0) } ?? true ? "_" + name : name
    }

    /// A name can have one type only; where two statistics fall on one name, the first one's stands.
    private mutating func add(_ type: String, _ name: String, _ lines: [String]) {
        guard families[name, default: Family(type: type)].type == type else { return }
        families[name, default: Family(type: type)].lines += lines
    }

    private func histogram(_ name: String, _ labels: String, _ sum: UInt64, _ summary: HistogramSummary) -> [String] {
        let lead = labels.isEmpty ? "" : labels + ","
        let buckets = summary.buckets(.cumulative).map { "\(name)_bucket{\(lead)le=\"\(HistogramSummary.text($0.bound))\"} \($0.count)" }
        return buckets + [
            "\(name)_bucket{\(lead)le=\"+Inf\"} \(summary.total)", "\(name)_sum{\(labels)} \(sum)",
            "\(name)_count{\(labels)} \(summary.total)",
        ]
    }

    private static func text(_ labels: [TagExtraction.Label]) -> String {
        labels.map { "\($0.name)=\"\(escaped($0.value))\"" }.joined(separator: ",")
    }

    private static func escaped(_ value: String) -> String {
        var out = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": out += "\\\\"
            case "\"": out += "\\\""
            case "\n": out += "\\n"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    private static func sanitized(_ name: String) -> String {
        String(decoding: name.utf8.map { isWordByte($0) ? $0 : UInt8(ascii: "_") }, as: UTF8.self)
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
