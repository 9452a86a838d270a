/// JSON is almost YAML. Where a text is JSON, this rewrites the two things libyaml does not take, keeping every line where it is:
/// tabs between tokens, and characters outside the first plane as two \u escapes.
enum JSONAsYAML {
    static func readable(_ bytes: [UInt8]) -> [UInt8] {
        let blank: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D]
        guard let first = bytes.first(where: { !blank.contains($0) }), first == UInt8(ascii: "{") else { return bytes }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var inString = false
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if inString, byte == UInt8(ascii: "\\"), index + 1 < bytes.count {
                index += appendEscape(bytes, at: index, to: &result)
                continue
            }
            if byte == UInt8(ascii: "\"") { inString.toggle() }
            result.append(byte == 0x09 && !inString ? 0x20 : byte)
            index += 1
        }
        return result
    }

    /// Returns how many bytes were read.
    private static func appendEscape(_ bytes: [UInt8], at index: Int, to result: inout [UInt8]) -> Int {
        if let high = unit(bytes, at: index), (0xD800..<0xDC00).contains(high), let low = unit(bytes, at: index + 6),
            (0xDC00..<0xE000).contains(low)
        {
            let scalar = 0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)
            let digits = String(scalar, radix: 16)
            result += Array("\\U\(String(repeating: "0", count: 8 - digits.count))\(digits)".utf8)
            return 12
        }
        result += bytes[index...(index + 1)]
        return 2
    }

    /// The value of a \uXXXX escape.
    private static func unit(_ bytes: [UInt8], at index: Int) -> UInt32? {
        guard index + 6 <= bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u") else { return nil }
        return UInt32(String(decoding: bytes[(index + 2)..<(index + 6)], as: UTF8.self), radix: 16)
    }
}
