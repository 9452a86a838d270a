import Foundation
import Harness

/// docs/kill-matrix.md: what tests with UPDATE_KILL_MATRIX write, and all others are held to.
enum KillMatrixPage {
    static let updates = ProcessInfo.processInfo.environment["UPDATE_KILL_MATRIX"] != nil
    private static let path = "\(Programs.root)/docs/kill-matrix.md"

    enum Section: CaseIterable {
        case kill, stop, keeper

        var title: String {
            switch self {
            case .kill: "## SIGKILL"
            case .stop: "## SIGSTOP"
            case .keeper: "## Under the restarter"
            }
        }

        fileprivate var head: [String] {
            switch self {
            case .kill, .stop: ["| at | of the child | of the parent |", "|---|---|---|"]
            case .keeper:
                [
                    "A generation that serves leaves copies of what a replacement needs with the restarter. It is killed, or the",
                    "restarter is killed or stopped, while that goes on: in a restart, whose old generation still lives, and in a",
                    "replacement, behind which nobody does. Nobody is refused, and counters go on. After a SIGKILL of the",
                    "restarter the next `restarter start` takes over; a stopped one is named by `restarter start`, and",
                    "`proxy --restart-epoch` takes over.", "",
                    "| at | in a | SIGKILL of the generation | SIGKILL of the restarter | SIGSTOP of the restarter |",
                    "|---|---|---|---|---|",
                ]
            }
        }
    }

    private static let head = [
        "# Kill matrix", "",
        "What becomes of a restart when one of its two processes is killed, or stopped, at each of its steps. Written by the test",
        "`KillMatrix` (`UPDATE_KILL_MATRIX=1 make test`), which also holds every run to it: under a client that connects every",
        "millisecond (SIGSTOP: every two) nobody is refused, whoever was waiting to be accepted is accepted, only connections that a",
        "killed process had accepted are cut, and the next restart succeeds. Two exceptions are in the nature of things: a parent",
        "that dies before the child has received the listening sockets (`child.looking` to `parent.afterControlSocket`, and",
        "`child.welcomed`) was the only generation, and so was a child that dies after its parent's window is over; then clients are",
        "refused until somebody listens anew. Under the restarter they are not: it keeps the sockets. The names are those of the",
        "calls of `faultPoint` in Sources/proxy; old and new are the two generations.", "",
    ]

    /// The rows that it has, each as its cells.
    static func rows(_ section: Section) -> [[String]] { lines(section).map(cells) }

    private static func lines(_ section: Section) -> [String] {
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard let first = lines.firstIndex(of: section.title) else { return [] }
        return lines[(first + 1)...].prefix { !$0.hasPrefix("## ") }.filter { $0.hasPrefix("| `") }
    }

    private static func cells(_ row: String) -> [String] {
        row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
    }

    /// Put these rows in the place of those that it has.
    static func write(_ section: Section, _ rows: [[String]]) throws {
        var text = head
        for other in Section.allCases {
            let own = rows.map { "| \($0.joined(separator: " | ")) |" }
            text += [other.title, ""] + other.head + (other == section ? own : lines(other)) + [""]
        }
        try text.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
    }
}
