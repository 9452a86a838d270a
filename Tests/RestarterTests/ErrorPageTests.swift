import Foundation
import Testing

@testable import restarter

/// `restarter explain` says what docs/errors.md says. That the page has every id of the sources is ErrorIdTests' business.
@Suite("Error page")
struct ErrorPageTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..").standardized

    @Test func explainHasThePage() throws {
        let page = try String(contentsOf: Self.root.appendingPathComponent("docs/errors.md"), encoding: .utf8)
        if ProcessInfo.processInfo.environment["UPDATE_EXPECTED"] != nil {
            try Self.source(of: page).write(
                to: Self.root.appendingPathComponent("Sources/restarter/ErrorPageText.swift"), atomically: true, encoding: .utf8)
        } else {
            #expect(ErrorPage.text == page, "run with UPDATE_EXPECTED=1 and build again")
        }
    }

    private static func source(of page: String) -> String {
        "// docs/errors.md as a literal: `UPDATE_EXPECTED=1 swift test --filter ErrorPage` writes this file.\nextension ErrorPage {\n"
            + "    static let text = ##\"\"\"\n" + page + "\n\"\"\"##\n}\n"
    }

    @Test func everyEntryIsComplete() {
        for entry in ErrorPage.entries {
            #expect(!entry.title.isEmpty, "\(entry.id)")
            #expect(entry.body.contains("**What to do:** "), "\(entry.id)")
        }
    }

    @Test(arguments: ["PX-C012", "px-c012", "C012", "c012"])
    func anEntryIsFoundByAnySpelling(_ name: String) { #expect(ErrorPage.entry(name)?.title == "unknown field") }

    @Test func anUnknownIdIsNone() { #expect(ErrorPage.entry("PX-C999") == nil) }

    @Test func forATerminalThereIsNoMarkup() throws {
        let text = try #require(ErrorPage.entry("PX-C007")).plainText
        #expect(text.hasPrefix("PX-C007  several documents\n\n"))
        #expect(text.contains("\nWhat to do: Keep one document"))
        #expect(text.contains("deviations (docs/config-reference.md)"))
        #expect(!text.contains("*") && !text.contains("]("))
    }
}
