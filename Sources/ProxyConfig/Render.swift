public import ProxyModel

/// The diagnostics as a person reads them, then a verdict for each text that has any. Ends with a newline unless empty.
public func render(_ diagnostics: [Diagnostic]) -> String {
    guard !diagnostics.isEmpty else { return "" }
    return diagnostics.map(renderOne).joined() + renderVerdicts(diagnostics)
}

private func renderOne(_ diagnostic: Diagnostic) -> String {
    let place = diagnostic.line > 0 ? ":\(diagnostic.line):\(diagnostic.column)" : ""
    let head = "\(diagnostic.file)\(place): \(diagnostic.severity.rawValue): \(diagnostic.message)  [\(diagnostic.id)]"
    var text = printable(head) + "\n"
    if diagnostic.line > 0 {
        text += renderSource(diagnostic)
    } else if !diagnostic.hint.isEmpty {
        text += "   hint: \(printable(diagnostic.hint))\n"
    }
    if !diagnostic.path.isEmpty { text += "   path: \(printable(diagnostic.path))\n" }
    return text
}

/// Lines longer than a terminal are cut around the caret.
private func renderSource(_ diagnostic: Diagnostic) -> String {
    let limit = 160
    let scalars = Array(diagnostic.sourceLine.unicodeScalars)
    let skip = diagnostic.column > limit - 40 ? diagnostic.column - 41 : 0
    let shown = scalars.dropFirst(skip).prefix(limit)
    let visible = String(String.UnicodeScalarView(shown.map(printable)))
    let caretColumn = diagnostic.column - 1 - skip
    // Tabs stay tabs under the line, so that the caret stands where it should.
    let pad = String(String.UnicodeScalarView(shown.prefix(caretColumn).map { $0 == "\t" ? "\t" : " " }))
    let missing = String(repeating: " ", count: max(0, caretColumn - shown.count))
    let carets = String(repeating: "^", count: max(1, min(diagnostic.length, limit - caretColumn)))
    let number = String(diagnostic.line)
    let gutter = String(repeating: " ", count: max(0, 5 - number.count)) + number
    let blank = String(repeating: " ", count: gutter.count)
    let hint = diagnostic.hint.isEmpty ? "" : " " + printable(diagnostic.hint)
    return "\(gutter) | \(visible)\n\(blank) | \(pad)\(missing)\(carets)\(hint)\n"
}

/// Names come out of the file, escapes and all: control characters must not reach a terminal, nor break a line.
private func printable(_ text: String) -> String { String(String.UnicodeScalarView(text.unicodeScalars.map(printable))) }

private func printable(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
    let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
    return isControl && scalar != "\t" ? "\u{FFFD}" : scalar
}

private func renderVerdicts(_ diagnostics: [Diagnostic]) -> String {
    var files: [String] = []
    for diagnostic in diagnostics where !files.contains(diagnostic.file) { files.append(diagnostic.file) }
    return files.map { file in
        let own = diagnostics.filter { $0.file == file }
        let errors = own.count { $0.severity == .error }
        let warnings = own.count { $0.severity == .warning }
        return "\(file): \(counted(errors, "error")), \(counted(warnings, "warning"))\n"
    }.joined()
}

private func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
