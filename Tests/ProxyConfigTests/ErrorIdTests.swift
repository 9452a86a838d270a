import Foundation
import Testing

/// Every id a person can meet is explained, and nothing is explained that nobody can meet.
struct ErrorIdTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")

    @Test("ids in Sources and headings in docs/errors.md are the same")
    func explained() throws {
        let documentation = try String(contentsOf: Self.root.appendingPathComponent("docs/errors.md"), encoding: .utf8)
        let headings = documentation.split(separator: "\n").filter { $0.hasPrefix("### PX-") }.map { String($0.dropFirst(4).prefix(7)) }
        #expect(Set(headings).count == headings.count, "an id is explained twice")
        let used = try Self.idsInSources()
        #expect(used.subtracting(headings).sorted() == [], "used in Sources, not explained")
        #expect(Set(headings).subtracting(used).sorted() == [], "explained, not used in Sources")
    }

    @Test("each entry says what to do")
    func remedies() throws {
        let documentation = try String(contentsOf: Self.root.appendingPathComponent("docs/errors.md"), encoding: .utf8)
        for entry in documentation.components(separatedBy: "\n### ").dropFirst() {
            let own = entry.components(separatedBy: "\n## ")[0]
            #expect(own.contains("**What to do:** "), "\(own.prefix(7))")
        }
    }

    /// As string literals: comments may mention others.
    private static func idsInSources() throws -> Set<String> {
        let files = FileManager.default.enumerator(at: root.appendingPathComponent("Sources"), includingPropertiesForKeys: nil)
        var ids: Set<String> = []
        for case let file as URL in try #require(files) where file.pathExtension == "swift" {
            for part in try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\"PX-").dropFirst() {
                let id = part.prefix(4)
                if ["C", "R", "U"].contains(id.prefix(1)), id.dropFirst().allSatisfy(\.isNumber), part.dropFirst(4).first == "\"" {
                    ids.insert("PX-\(id)")
                }
            }
        }
        return ids
    }
}
