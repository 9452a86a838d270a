import ProxyModel

/// Times for people: short ones as measured, long ones in their two largest units.
enum Durations {
    /// "0.4 ms", "31 ms", "1.25 s".
    static func precise(_ ms: Double) -> String {
        switch ms {
        case ..<10: "\(tenths(ms)) ms"
        case ..<1000: "\(Int(ms.rounded())) ms"
        default: "\(hundredths(ms / 1000)) s"
        }
    }

    /// "42s", "9m18s", "3h12m", "2d4h".
    static func rough(_ ms: UInt64) -> String {
        let seconds = ms / 1000
        switch seconds {
        case ..<60: return "\(seconds)s"
        case ..<3600: return "\(seconds / 60)m" + rest(seconds % 60, "s")
        case ..<86_400: return "\(seconds / 3600)h" + rest(seconds % 3600 / 60, "m")
        default: return "\(seconds / 86_400)d" + rest(seconds % 86_400 / 3600, "h")
        }
    }

    private static func rest(_ value: UInt64, _ unit: String) -> String { value == 0 ? "" : "\(value)\(unit)" }
    private static func tenths(_ value: Double) -> String {
        let scaled = Int((value * 10).rounded())
        return "\(scaled / 10).\(scaled % 10)"
    }
    private static func hundredths(_ value: Double) -> String {
        let scaled = Int((value * 100).rounded())
        return "\(scaled / 100).\(digits(scaled % 100, 2))"
    }
}
