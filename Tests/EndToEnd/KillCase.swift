import Foundation
import Harness
import Testing

/// One restart under load in which one of the two processes is killed or stopped at one named step. In phases, so that several cases
/// can wait for their deadlines at the same time.
final class KillCase {
    enum Victim: String, CaseIterable { case child, parent }
    enum Blow: String, CaseIterable {
        case kill, stop
        var signal: Int32 { self == .kill ? SIGKILL : SIGSTOP }
    }

    let step: String
    let victim: Victim
    let blow: Blow
    /// Who serves in the end, and how it came to that.
    private(set) var outcome = "?"
    private(set) var load: LoadReport?
    private(set) var failure: String?

    private var s: Scenario!
    private var chain: ProxyChain!
    private var stream: LoadClient!
    private var echo: Endpoint!
    private var parent: ChildProcess!
    private var child: ChildProcess!

    init(_ step: String, _ victim: Victim, _ blow: Blow) {
        self.step = step
        self.victim = victim
        self.blow = blow
    }

    var name: String { "\(blow) \(victim) at \(step)" }

    // MARK: - What is allowed

    /// The child has nothing yet that it could serve with: the parent's death is that of the only generation.
    static let beforeSockets: Set = [
        "child.looking", "child.beforeHello", "child.afterHello", "child.welcomed", "parent.hello", "parent.beforeWelcome",
        "parent.afterWelcome", "parent.afterControlSocket",
    ]
    /// Sockets are here, the parent's counters perhaps not.
    private static let beforeStatistics = beforeSockets.union(["child.socketsCame", "parent.afterSockets"])
    /// The parent does not know of the child, which therefore cannot be fenced and does no harm.
    private static let beforeContact: Set = ["child.looking", "child.beforeHello"]
    /// The parent's drain and its rollback window are over.
    private static let afterWindow: Set = ["parent.beforeBye", "parent.ending"]

    private var holdsStep: Victim { step.hasPrefix("child.") ? .child : .parent }
    private var isRollback: Bool { step.hasPrefix("rollback.") }
    /// The victim is the process that comes to the step.
    var isAtStep: Bool { victim == holdsStep }
    /// The last that could have served has died.
    private var killsTheLast: Bool { blow == .kill && (isRollback || (victim == .child && Self.afterWindow.contains(step))) }
    var mayRefuse: Bool { killsTheLast || (victim == .parent && Self.beforeSockets.contains(step)) }

    /// What the child has to do for the parent to come to a step at all.
    private static func companions(_ step: String) -> [String] {
        if step.hasPrefix("rollback.") { return ["child.serving=kill"] }
        // A worker of the parent meets a connection between the child's taking the word and its READY.
        return step == "parent.lostService" ? ["child.tookWord=delay:300"] : []
    }

    static func isPossible(_ step: String, _ victim: Victim) -> Bool { !step.hasPrefix("rollback.") || victim == .parent }

    // MARK: - Phases

    private func phase(_ what: String, _ body: () throws -> Void) {
        guard failure == nil else { return }
        do { try body() } catch { failure = "\(what): \(error)" }
    }

    func start() {
        phase("start") {
            s = try Scenario(name, seconds: 120)
            let window = Self.afterWindow.contains(step) ? "1" : "5"
            (chain, echo) = try s.faultyChain(["--rollback-window-s", window])
            parent = try chain.start(["--concurrency", "1"], environment: environment(of: .parent))
            stream = try LoadClient(
                s, .connect, echo, ["-r", "\(blow == .kill ? 1000 : 500)", "--sources", "8", "--half-close", "-t", "20000"])
        }
    }

    private func environment(of role: Victim) -> [String: String] {
        var entries: [String] = []
        if role == holdsStep { entries.append("\(step)=\(victim == role ? blow.rawValue : "delay:400")") }
        if role == .child { entries += Self.companions(step) }
        return FaultySteps.environment(entries)
    }

    func strike() {
        phase("strike") {
            child = try chain.launch(["--restart-epoch", "--concurrency", "2"], environment: environment(of: .child))
            let holder: ChildProcess = holdsStep == .child ? child : parent
            try holder.waitForLog("fault point \(step):", within: 30)
            let struck: ChildProcess = victim == .child ? child : parent
            if victim != holdsStep { struck.signal(blow.signal) }
            if blow == .kill { s.checkEqual(try struck.waitForExit(), .signaled(SIGKILL), "the victim") }
        }
    }

    func settle() {
        phase("settle") {
            switch (blow, victim) {
            case (.kill, _) where killsTheLast:
                outcome = isRollback ? "both dead: the next start is cold" : "nothing serves: old had left"
            case (.kill, .child): try expectOld("old serves")
            case (.kill, .parent): try expectNew("new serves")
            case (.stop, .child): try settleStoppedChild()
            case (.stop, .parent): try settleStoppedParent()
            }
        }
    }

    private func expectOld(_ text: String) throws {
        try eventually("epoch 0 to serve", within: 15) { chain.admin.servingEpoch() == 0 }
        outcome = text
    }

    private func expectNew(_ text: String) throws {
        try chain.adopt(child, epoch: 1, within: 20)
        outcome = text
    }

    private func settleStoppedChild() throws {
        if Self.beforeContact.contains(step) {
            try expectOld("old serves, unconcerned")
            child.destroy()
        } else if Self.afterWindow.contains(step) {
            s.checkEqual(try parent.waitForExit(), .exited(0), "the parent, whose drain is over")
            child.signal(SIGCONT)
            try expectNew("new serves once continued: old had left")
        } else {
            s.checkEqual(try child.waitForExit(within: 20), .signaled(SIGKILL), "the stopped child is fenced")
            try expectOld("fenced at the deadline: old serves")
        }
    }

    private func settleStoppedParent() throws {
        let gaveUp = try eventually("the child to serve or to give up", within: 25) { () -> Bool? in
            if child.exitStatus() != nil { return true }
            return chain.admin.servingEpoch() == 1 ? false : nil
        }
        parent.signal(SIGCONT)
        if gaveUp {
            if !isRollback { s.checkEqual(child.exitStatus(), .exited(1), "the child that gave up") }
            try expectOld(isRollback ? "old serves once continued" : "new gives up at its deadline; old serves once continued")
        } else {
            try expectNew("new serves; old drains once continued")
        }
        if Self.eitherWay.contains(step) { outcome = "new serves if it has everything, else old once continued" }
    }

    /// The parent is sending all it has while the child is held here, and may have sent it when it is stopped.
    private static let eitherWay: Set = ["child.afterHello", "child.welcomed"]

    /// A failed attempt, or a parent that was stopped, is in nobody's way.
    func restartAgain() {
        phase("the next restart") {
            let epoch: UInt64 = killsTheLast ? 0 : chain.epoch + 1
            let next = try chain.launch(["--restart-epoch"], environment: FaultySteps.environment())
            try chain.adopt(next, epoch: epoch, within: 20)
        }
    }

    func finish() {
        phase("the end") {
            load = try stream.stop(within: 40)
            try judge(load!)
        }
        if let failure { print("\(name): \(failure)\n\(s?.lastWords(25) ?? "")") }
        s?.close(keep: failure != nil)
    }

    private func judge(_ load: LoadReport) throws {
        var wrong: [String] = []
        let cut = load.reset + load.eofBeforeReply + load.shortReply
        if load.tried == 0 { wrong.append("nobody tried") }
        if load.refused > 0, !mayRefuse { wrong.append("\(load.refused) were refused") }
        if load.failed != cut + load.refused { wrong.append("neither cut nor refused: \(load.failures)") }
        if cut > 0, blow == .stop, victim == .parent, !isRollback { wrong.append("\(cut) cut, though nobody was killed") }
        if cut > 0, Self.beforeContact.contains(step), victim == .child { wrong.append("\(cut) cut, though the child was nothing yet") }
        // Whatever a process accepted it counted, but for the one connection that each worker had in hand when it was killed.
        if !mayRefuse, !(victim == .parent && blow == .kill && Self.beforeStatistics.contains(step)) {
            let counted = try accepted()
            let missing = load.tried - load.refused - counted
            let most = blow == .kill || victim == .child || isRollback ? 2 : 0
            if !(0...most).contains(missing) { wrong.append("of \(load.tried) connections \(counted) were accepted by anybody") }
        }
        if !wrong.isEmpty || s.hasFailed { throw HarnessError(wrong.joined(separator: "; ")) }
    }

    private func accepted() throws -> Int {
        guard case .v4(let port) = echo else { return 0 }
        let name = "listener.127.0.0.1_\(port).downstream_cx_total"
        guard let value = try chain.admin.stats()[name] else { throw HarnessError("no counter \(name)") }
        return value
    }
}
