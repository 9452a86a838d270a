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
