import ArgumentParser

struct ExplainCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Explain an error by its id: what it means and what to do.",
        discussion: "Without an id: every id there is. The same text is in docs/errors.md.")

    @Argument(help: ArgumentHelp("For example PX-C012; C012 will do.", valueName: "id")) var id: String?

    func execute() throws -> ExitStatus {
        let console = Console()
        guard let id else {
            for entry in ErrorPage.entries { console.line("\(entry.id)  \(entry.title)") }
            return .done
        }
        guard let entry = ErrorPage.entry(id) else {
            throw Failure(
                "there is no error '\(id)'", remedy: "Ids look like PX-C012; `restarter explain` lists all of them.", status: .usage)
        }
        console.line(entry.plainText)
        return .done
    }
}

/// docs/errors.md, as it was when this was built (ErrorPageText.swift; a test holds the two together).
enum ErrorPage {
    struct Entry: Equatable {
        var id: String
        var title: String
        /// Markdown, without the heading.
        var body: String

        /// For a terminal: no markup but backticks.
        var plainText: String {
            let lines = body.split(separator: "\n", omittingEmptySubsequences: false).map { line in
                line.hasPrefix("*") && line.hasSuffix("*") ? String(line.dropFirst().dropLast()) : String(line.replacing("**", with: ""))
            }
            return "\(id)  \(title)\n\n\(Self.withoutLinks(lines.joined(separator: "\n")))"
        }

        /// `[text](target)` becomes `text (docs/target)`.
        private static func withoutLinks(_ text: String) -> String {
            text.replacing(#/\[([^\]]*)\]\(([^)]*)\)/#) { match in
                let target = match.output.2.prefix { $0 != "#" }
                return "\(match.output.1) (docs/\(target.isEmpty ? "errors.md" : target))"
            }
        }
    }

    /// In the page's order.
    static var entries: [Entry] {
        text.split(separator: "\n### ").dropFirst().map { section in
            let lines = section.split(separator: "\n", omittingEmptySubsequences: false)
            let heading = lines[0].split(separator: " ", maxSplits: 1).map(String.init)
            let body = lines.dropFirst().prefix { !$0.hasPrefix("<!--") }.joined(separator: "\n")
            return Entry(id: heading[0], title: heading.count > 1 ? heading[1] : "", body: trimmed(body))
        }
    }

    /// `name` in any case, with or without "PX-".
    static func entry(_ name: String) -> Entry? {
        let wanted = name.uppercased()
        return entries.first { $0.id == wanted || $0.id == "PX-\(wanted)" }
    }

    private static func trimmed(_ text: String) -> String {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
        while lines.first?.isEmpty == true { lines.removeFirst() }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines.joined(separator: "\n")
    }
}
