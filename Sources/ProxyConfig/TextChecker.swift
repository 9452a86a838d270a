/// Checks the bytes before anybody reads them as YAML: UTF-8, and no control characters, at which libyaml would stop.
struct TextChecker {
    let findings: Findings
    let source: Int

    func check() -> Bool {
        let bytes = findings.sources[source].bytes
        if let offset = Self.firstInvalidUTF8(bytes) {
            report("not valid UTF-8 (byte 0x\(String(bytes[offset], radix: 16)))", at: offset, hint: Self.encodingHint(bytes))
            return false
        }
        if let offset = bytes.firstIndex(where: { ($0 < 0x20 && ![0x09, 0x0A, 0x0D].contains($0)) || $0 == 0x7F }) {
            let name = bytes[offset] == 0 ? "a NUL character" : "a control character (0x\(String(bytes[offset], radix: 16)))"
            report("\(name) cannot stand in a configuration", at: offset, hint: "remove it; in a quoted string write it as an escape")
            return false
        }
        return true
    }

    private func report(_ message: String, at offset: Int, hint: String) {
        let position = findings.sources[source].position(ofByte: offset)
        let place = Place(source: source, line: position.line, column: position.column, length: 1)
        findings.error(.invalidText, place, message, hint: hint)
    }

    private static func encodingHint(_ bytes: [UInt8]) -> String {
        let isUTF16 = bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF])
        return isUTF16 ? "the file is UTF-16; save it as UTF-8" : "save the file as UTF-8"
    }

    private static func firstInvalidUTF8(_ bytes: [UInt8]) -> Int? {
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var offset = 0
        while true {
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar): offset += UTF8.width(scalar)
            case .emptyInput: return nil
            case .error: return min(offset, bytes.count - 1)
            }
        }
    }
}

/// JSON is almost YAML. Where a text is JSON, this rewrites the two things libyaml does not take, keeping every line where it is:
/// tabs between tokens, and characters outside the first plane as two \u escapes.
enum JSONText {
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
