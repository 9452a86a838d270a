/// One text of the configuration: a file or the argument of --config-yaml. Knows its lines, as the YAML reader counts them.
struct SourceText {
    let name: String
    let bytes: [UInt8]
    private let lineStarts: [Int]

    init(name: String, bytes: [UInt8]) {
        self.name = name
        // A byte order mark is no part of line 1; the YAML reader does not count it either.
        self.bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
        self.lineStarts = Self.findLineStarts(self.bytes)
    }

    /// The line without its break; empty where there is no such line. `line` is 1-based.
    func line(_ line: Int) -> String {
        guard line >= 1, line <= lineStarts.count else { return "" }
        let start = lineStarts[line - 1]
        var end = line < lineStarts.count ? lineStarts[line] : bytes.count
        let width = Self.breakWidth(endingAt: end, from: start, in: bytes)
        end -= width
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    /// Line and column (in code points, both 1-based) of a byte.
    func position(ofByte offset: Int) -> (line: Int, column: Int) {
        let index = (lineStarts.lastIndex { $0 <= offset }) ?? 0
        let prefix = bytes[lineStarts[index]..<min(offset, bytes.count)]
        let column = prefix.reduce(1) { $0 + (($1 & 0xC0) == 0x80 ? 0 : 1) }
        return (index + 1, column)
    }

    /// YAML 1.1 (5.4) ends a line at LF, CR, CRLF, NEL, LS and PS.
    private static func breakLength(_ bytes: [UInt8], at index: Int) -> Int {
        switch bytes[index] {
        case 0x0A: return 1
        case 0x0D: return index + 1 < bytes.count && bytes[index + 1] == 0x0A ? 2 : 1
        case 0xC2: return index + 1 < bytes.count && bytes[index + 1] == 0x85 ? 2 : 0
        case 0xE2:
            guard index + 2 < bytes.count, bytes[index + 1] == 0x80 else { return 0 }
            return bytes[index + 2] == 0xA8 || bytes[index + 2] == 0xA9 ? 3 : 0
        default: return 0
        }
    }

    private static func findLineStarts(_ bytes: [UInt8]) -> [Int] {
        var starts = [0]
        var index = 0
        while index < bytes.count {
            let length = breakLength(bytes, at: index)
            index += max(length, 1)
            if length > 0 { starts.append(index) }
        }
        return starts
    }

    private static func breakWidth(endingAt end: Int, from start: Int, in bytes: [UInt8]) -> Int {
        for width in stride(from: min(3, end - start), to: 0, by: -1) where breakLength(bytes, at: end - width) == width {
            return width
        }
        return 0
    }
}

/// A place in one of the texts of a run. Line and column are 1-based; line 0 is the text as a whole.
struct Place: Hashable {
    var source: Int
    var line: Int
    var column: Int
    /// Columns to underline; cut at the end of the line when shown.
    var length: Int

    static func whole(_ source: Int) -> Place { Place(source: source, line: 0, column: 0, length: 0) }
}
