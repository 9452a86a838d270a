/// Scalars as protobuf's JSON form writes them.
enum ProtoScalars {
    /// "10", "10.0", "1e3": whole numbers however they are written. nil: not a number, not whole, or too large for 64 bits.
    static func integer(_ text: String) -> Value? {
        if let value = Int64(text) { return .integer(value) }
        if let value = UInt64(text) { return .unsigned(value) }
        guard isDecimalNumber(text), let value = Double(text), value == value.rounded() else { return nil }
        if let exact = Int64(exactly: value) { return .integer(exact) }
        return UInt64(exactly: value).map { .unsigned($0) }
    }

    static func isDecimalNumber(_ text: String) -> Bool {
        guard let first = text.utf8.first(where: { $0 != 0x2D }), (0x30...0x39).contains(first) else { return false }
        return text.utf8.allSatisfy { (0x30...0x39).contains($0) || [0x2B, 0x2D, 0x2E, 0x45, 0x65].contains($0) } && Double(text) != nil
    }

    enum DurationProblem: Error, Equatable {
        case noUnit, otherUnit, malformed, tooPrecise, tooLong
    }

    /// "0.25s": seconds with up to nine decimals, within protobuf's ±10,000 years; nanoseconds here, so within ±292 years.
    static func duration(_ text: String) throws(DurationProblem) -> Int64 {
        guard text.hasSuffix("s") else { throw isDecimalNumber(text) ? .noUnit : hasOtherUnit(text) ? .otherUnit : .malformed }
        let number = text.dropLast()
        let negative = number.hasPrefix("-")
        let parts = (negative ? number.dropFirst() : number).split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy(isDigits) else { throw hasOtherUnit(text) ? .otherUnit : .malformed }
        let decimals = parts.count == 2 ? parts[1] : ""
        guard decimals.count <= 9 else { throw .tooPrecise }
        guard let seconds = Int64(parts[0]), seconds <= 315_576_000_000 else { throw .tooLong }
        let nanoseconds = Int64(decimals + String(repeating: "0", count: 9 - decimals.count)) ?? 0
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow2) = scaled.addingReportingOverflow(nanoseconds)
        let total = overflow || overflow2 ? Int64.max : sum
        return negative ? -total : total
    }

    private static func isDigits(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }

    private static func hasOtherUnit(_ text: String) -> Bool {
        let number = text.prefix { $0.isNumber || $0 == "." }
        return !number.isEmpty && ["ms", "us", "ns", "m", "h", "d", "min", "sec", "seconds"].contains(String(text.dropFirst(number.count)))
    }

    /// Seconds with 0, 3, 6 or 9 decimals, as protobuf prints them.
    static func durationText(_ nanoseconds: Int64) -> String {
        let magnitude = nanoseconds.magnitude
        let fraction = magnitude % 1_000_000_000
        let sign = nanoseconds < 0 ? "-" : ""
        let seconds = "\(sign)\(magnitude / 1_000_000_000)"
        if fraction == 0 { return seconds + "s" }
        let digits = String(String(fraction + 1_000_000_000).dropFirst())
        let width = fraction % 1_000_000 == 0 ? 3 : fraction % 1_000 == 0 ? 6 : 9
        return "\(seconds).\(digits.prefix(width))s"
    }

    /// Standard or URL-safe alphabet, padded or not (RFC 4648 4 and 5).
    static func base64(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        let stripped = text.utf8.reversed().drop { $0 == 0x3D }.reversed()
        let padding = text.utf8.count - stripped.count
        guard padding == 0 || (padding <= 2 && text.utf8.count % 4 == 0), stripped.count % 4 != 1 else { return nil }
        for character in stripped {
            guard let value = sextet(character) else { return nil }
            bits = bits << 6 | value
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return bytes
    }

    static func base64Text(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let chunk = bytes[start..<min(start + 3, bytes.count)]
            let bits = chunk.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - chunk.count))
            for index in 0..<4 {
                text.append(index <= chunk.count ? alphabet[Int(bits >> UInt32(18 - 6 * index) & 0x3F)] : "=")
            }
        }
        return text
    }

    private static func sextet(_ character: UInt8) -> UInt32? {
        switch character {
        case 0x41...0x5A: return UInt32(character - 0x41)
        case 0x61...0x7A: return UInt32(character - 0x61 + 26)
        case 0x30...0x39: return UInt32(character - 0x30 + 52)
        case 0x2B, 0x2D: return 62
        case 0x2F, 0x5F: return 63
        default: return nil
        }
    }
}
