import Foundation
import Harness
import Testing

extension EndToEnd {
    /// SIGKILL and SIGSTOP of either process at every named step of a restart, under a client that connects every millisecond.
    @Suite struct KillMatrix {
        /// Every pair of step and process, not only the process that is at the step (and those that have shown bugs).
        private static let isFull = KillMatrixPage.updates || ProcessInfo.processInfo.environment["KILL_MATRIX"] == "full"
        private static let revealing: Set = [
            "child.adopting", "child.beforeWord", "child.tookWord", "child.afterReady", "parent.afterInheritanceEnd", "parent.stopping",
        ]

        @Test func everyStepInTheSourcesIsTested() {
            #expect(FaultySteps.inSources.sorted() == (FaultySteps.all + KeeperCase.steps).sorted())
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
            let section: KillMatrixPage.Section = blow == .kill ? .kill : .stop
            let rows = FaultySteps.all.map { step in
                ["`\(step)`"]
                    + KillCase.Victim.allCases.map { victim in cases.first { $0.step == step && $0.victim == victim }?.outcome ?? "—" }
            }
            if KillMatrixPage.updates { return try KillMatrixPage.write(section, rows) }
            let known = KillMatrixPage.rows(section)
            for item in cases where !known.contains(where: { Self.cell($0, item) == item.outcome }) {
                Issue.record("\(item.name): docs/kill-matrix.md does not say '\(item.outcome)' (UPDATE_KILL_MATRIX=1 writes it)")
            }
        }

        private static func cell(_ row: [String], _ item: KillCase) -> String? {
            guard row.count == 3, row[0] == "`\(item.step)`" else { return nil }
            return row[item.victim == .child ? 1 : 2]
        }
    }
}
