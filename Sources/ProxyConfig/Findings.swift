internal import ProxyModel

/// Collects the findings of one run over one or two texts. A reference: every pass adds to the same list.
final class Findings {
    private(set) var sources: [SourceText] = []
    private var list: [(place: Place, diagnostic: Diagnostic)] = []
    private var said: Set<Said> = []
    private var counts: [Diagnostic.Severity: Int] = [:]
    private var lastLine: (place: Place, text: String, length: Int)?

    /// Of each severity so many are kept; what lies beyond them is counted. A file with 100,000 unknown fields is none that
    /// anybody wants to read about in full.
    static let limit = 500
    /// Lines longer than this (in bytes) are not shown, and messages longer than this (in characters) are cut.
    private static let lineLimit = 1 << 16
    private static let messageLimit = 500

    /// What an alias repeats is said once, so that the number of findings is bounded by the size of the text.
    private struct Said: Hashable {
        let place: Place
        let message: String
    }

    func add(_ source: SourceText) -> Int {
        sources.append(source)
        return sources.count - 1
    }

    func error(_ id: DiagnosticID, _ place: Place, _ message: String, path: String = "", hint: String = "") {
        add(.error, id, place, message, path, hint)
    }

    func warning(_ id: DiagnosticID, _ place: Place, _ message: String, path: String = "", hint: String = "") {
        add(.warning, id, place, message, path, hint)
    }

    var hasErrors: Bool { counts[.error, default: 0] > 0 }

    /// Whether a further one would only be counted, so that no effort should go into its hint.
    func isFull(_ severity: Diagnostic.Severity) -> Bool { counts[severity, default: 0] >= Self.limit }

    /// Whether a hint that is dear to find (among all clusters, say) is still worth it: the reader has plenty to begin with.
    var isLong: Bool { counts[.error, default: 0] >= 50 }

    /// By text, then line, then column; at the end, how many are not shown.
    func sorted() -> [Diagnostic] {
        let sorted = list.enumerated()
            .sorted { Self.key($0.element.place, $0.offset) < Self.key($1.element.place, $1.offset) }
            .map(\.element.diagnostic)
        let hidden = [Diagnostic.Severity.error, .warning].compactMap { severity -> Diagnostic? in
            let count = counts[severity, default: 0] - Self.limit
            guard count > 0, let last = sorted.last else { return nil }
            return Diagnostic(
                severity: .note, id: DiagnosticID.tooLarge.rawValue, file: last.file, line: 0, column: 0,
                message: "\(count) further \(severity.rawValue)\(count == 1 ? " is" : "s are") not shown",
                hint: "correct those that are, then look again")
        }
        return sorted + hidden
    }

    /// "line 4, column 9", with the name of the text where it is another one.
    func describe(_ place: Place, from other: Place) -> String {
        let prefix = place.source == other.source ? "" : "\(sources[place.source].name) "
        return "\(prefix)line \(place.line), column \(place.column)"
    }

    private static func key(_ place: Place, _ order: Int) -> (Int, Int, Int, Int) {
        (place.source, place.line, place.column, order)
    }

    private func add(_ severity: Diagnostic.Severity, _ id: DiagnosticID, _ place: Place, _ message: String, _ path: String, _ hint: String)
    {
        guard !isFull(severity) else {
            counts[severity, default: 0] += 1
            return
        }
        let message = Self.shortened(message)
        guard said.insert(Said(place: place, message: message)).inserted else { return }
        counts[severity, default: 0] += 1
        let line = line(at: place)
        let room = max(1, line.length - place.column + 1)
        list.append(
            (
                place,
                Diagnostic(
                    severity: severity, id: id.rawValue, file: sources[place.source].name, line: place.line, column: place.column,
                    message: message, path: Self.shortened(path), sourceLine: line.text, length: min(max(1, place.length), room),
                    hint: Self.shortened(hint))
            ))
    }

    /// The line of a place, kept for the next finding on it: minified JSON has all of them on one.
    private func line(at place: Place) -> (text: String, length: Int) {
        if let lastLine, (lastLine.place.source, lastLine.place.line) == (place.source, place.line) {
            return (lastLine.text, lastLine.length)
        }
        var text = sources[place.source].line(place.line)
        if text.utf8.count > Self.lineLimit { text = "" }
        let length = text.unicodeScalars.count
        lastLine = (place, text, length)
        return (text, length)
    }

    private static func shortened(_ text: String) -> String {
        guard text.utf8.count > messageLimit else { return text }
        let scalars = text.unicodeScalars
        guard let end = scalars.index(scalars.startIndex, offsetBy: messageLimit, limitedBy: scalars.endIndex), end < scalars.endIndex
        else { return text }
        return String(scalars[..<end]) + "…"
    }
}
