internal import ProxyModel

/// Collects the findings of one run over one or two texts. A reference: every pass adds to the same list.
final class Findings {
    private(set) var sources: [SourceText] = []
    private var list: [(place: Place, diagnostic: Diagnostic)] = []
    private var said: Set<Said> = []

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

    var hasErrors: Bool { list.contains { $0.diagnostic.severity == .error } }

    /// By text, then line, then column.
    func sorted() -> [Diagnostic] {
        list.enumerated()
            .sorted { Self.key($0.element.place, $0.offset) < Self.key($1.element.place, $1.offset) }
            .map(\.element.diagnostic)
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
        guard said.insert(Said(place: place, message: message)).inserted else { return }
        let source = sources[place.source]
        let line = source.line(place.line)
        let room = max(1, line.unicodeScalars.count - place.column + 1)
        list.append(
            (
                place,
                Diagnostic(
                    severity: severity, id: id.rawValue, file: source.name, line: place.line, column: place.column, message: message,
                    path: path, sourceLine: line, length: min(max(1, place.length), room), hint: hint)
            ))
    }
}
