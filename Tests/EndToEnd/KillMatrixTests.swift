import Foundation
import Harness
import Testing

extension EndToEnd {
    /// SIGKILL and SIGSTOP of either process at every named step of a restart, under a client that connects every millisecond.
    @Suite struct KillMatrix {
        private static let table = "\(Programs.root)/docs/kill-matrix.md"
        private static let updates = ProcessInfo.processInfo.environment["UPDATE_KILL_MATRIX"] != nil
        /// Every pair of step and process, not only the process that is at the step (and those that have shown bugs).
        private static let isFull = updates || ProcessInfo.processInfo.environment["KILL_MATRIX"] == "full"
        private static let revealing: Set = [
            "child.adopting", "child.beforeWord", "child.tookWord", "child.afterReady", "parent.afterInheritanceEnd", "parent.stopping",
        ]

        @Test func everyStepInTheSourcesIsTested() {
            #expect(FaultySteps.inSources.sorted() == FaultySteps.all.sorted())
        }

        @Test func nobodyIsRefusedWhoeverDiesAtWhateverStep() throws { try run(.kill) }

        @Test func aProcessThatIsStoppedAtWhateverStepIsGivenUp() throws { try run(.stop) }

        private func run(_ blow: KillCase.Blow) throws {
            let only = ProcessInfo.processInfo.environment["KILL_STEP"]
            let steps = FaultySteps.all.filter { only == nil || $0 == only }
            var cases: [KillCase] = []
            for step in steps {
                for victim in KillCase.Victim.allCases where KillCase.isPossible(step, victim) {
                    let item = KillCase(step, victim, blow)
                    if Self.isFull || only != nil || item.isAtStep || Self.revealing.contains(step) { cases.append(item) }
                }
            }
            // Deadlines are waited for together.
            let size = blow == .stop ? 12 : 6
            for first in stride(from: 0, to: cases.count, by: size) {
                let wave = cases[first..<min(first + size, cases.count)]
                for item in wave { item.start() }
                for item in wave { item.strike() }
                for phase in [KillCase.settle, KillCase.restartAgain, KillCase.finish] {
                    for item in wave { phase(item)() }
                }
            }
            for item in cases where item.failure != nil { Issue.record("\(item.name): \(item.failure ?? "")") }
            print(Self.summary(cases))
            if only == nil { try compare(cases, blow) }
        }

        private static func summary(_ cases: [KillCase]) -> String {
            let (last, others) = (cases.filter(\.mayRefuse), cases.filter { !$0.mayRefuse })
            return
                "\(cases.count) cases; somebody was left to serve: \(figures(others)); the only one that could serve died: \(figures(last))"
        }

        private static func figures(_ cases: [KillCase]) -> String {
            let reports = cases.compactMap(\.load)
            let cut = reports.map { $0.reset + $0.eofBeforeReply + $0.shortReply }
            let wait = reports.map { max($0.latencyUs.max, $0.markedUs.max) }.max() ?? 0
            return "\(reports.reduce(0) { $0 + $1.tried }) connections, \(reports.reduce(0) { $0 + $1.refused }) refused, "
                + "\(cut.reduce(0, +)) cut, at most \(cut.max() ?? 0) in one case, longest wait \(wait / 1000) ms"
        }

        // MARK: - docs/kill-matrix.md

        private func compare(_ cases: [KillCase], _ blow: KillCase.Blow) throws {
            var rows: [String: String] = [:]
            for step in FaultySteps.all {
                let found = KillCase.Victim.allCases.map { victim in
                    cases.first { $0.step == step && $0.victim == victim }?.outcome ?? "—"
                }
                rows[step] = "| `\(step)` | \(found.joined(separator: " | ")) |"
            }
            let section = FaultySteps.all.compactMap { rows[$0] }
            let text = (try? String(contentsOfFile: Self.table, encoding: .utf8)) ?? ""
            guard Self.updates else {
                let known = Self.lines(of: blow, in: text)
                for item in cases where !known.contains(where: { Self.cell($0, item) == item.outcome }) {
                    Issue.record("\(item.name): docs/kill-matrix.md does not say '\(item.outcome)' (UPDATE_KILL_MATRIX=1 writes it)")
                }
                return
            }
            let other: KillCase.Blow = blow == .kill ? .stop : .kill
            let both = [blow: section, other: Self.lines(of: other, in: text).filter { $0.hasPrefix("| `") }]
            try Self.document(both).write(toFile: Self.table, atomically: true, encoding: .utf8)
        }

        private static func cell(_ row: String, _ item: KillCase) -> String? {
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard cells.count == 3, cells[0] == "`\(item.step)`" else { return nil }
            return cells[item.victim == .child ? 1 : 2]
        }

        private static func title(_ blow: KillCase.Blow) -> String { blow == .kill ? "## SIGKILL" : "## SIGSTOP" }

        private static func lines(of blow: KillCase.Blow, in text: String) -> [String] {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            guard let first = lines.firstIndex(of: title(blow)) else { return [] }
            return Array(lines[(first + 1)...].prefix { !$0.hasPrefix("## ") })
        }

        private static func document(_ rows: [KillCase.Blow: [String]]) -> String {
            var lines = [
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
            for blow in KillCase.Blow.allCases {
                lines += [title(blow), "", "| at | of the child | of the parent |", "|---|---|---|"] + (rows[blow] ?? []) + [""]
            }
            return lines.joined(separator: "\n")
        }
    }
}
