import ProxyModel

/// The steps of a restart as they come, in words.
struct RestartView {
    enum Piece: Equatable {
        case line(String)
        /// Takes the place of the last one on a terminal.
        case update(String)
    }

    var waits = false
    var updates = false
    var tone: (String, Console.Tone) -> String = { text, _ in text }
    private var lastConnections: UInt64?

    init(waits: Bool = false, updates: Bool = false) {
        self.waits = waits
        self.updates = updates
    }

    func opening(_ serving: ProxyStatus?) -> String {
        guard let serving else { return tone("start", .strong) + "    nothing serves yet" }
        return tone("restart", .strong) + "  from generation \(serving.epoch), pid \(serving.pid)"
    }

    mutating func show(_ event: SupervisionEvent) -> [Piece] {
        switch event {
        case .step(let step): return [.line(row(step.name, step.ok, Durations.precise(step.ms), step.text ?? ""))]
        case .serving(let serving): return self.serving(serving)
        case .failed(let failure): return Self.split(failed(failure))
        case .draining(let drain): return draining(drain)
        case .drained(let drained):
            let forced =
                switch drained.forced {
                case 0: "no connection was cut"
                case 1: "1 connection was closed by force"
                default: "\(drained.forced) connections were closed by force"
                }
            return [.line(row("drained", drained.forced == 0, "", "generation \(drained.epoch); \(forced)"))]
        case .rolledBack(let back):
            return [.line(row("rolled back", false, "", "generation \(back.toEpoch) serves again" + (back.text.map { ": \($0)" } ?? "")))]
        case .unknown: return []
        }
    }

    private func serving(_ serving: SupervisionEvent.Serving) -> [Piece] {
        var text = "generation \(serving.epoch), pid \(serving.pid)"
        if let listeners = serving.report?.listeners {
            text += "; listeners: \(listeners.kept) kept, \(listeners.added) added, \(listeners.removed) removed"
        }
        var pieces: [Piece] = [.line(row("serving", true, Durations.precise(serving.ms), text))]
        if !waits, let left = serving.report?.connections.draining, left > 0 {
            pieces.append(
                .line(row("drain", nil, "", "\(DrainText.left(left)); `restarter status` shows them, `restarter drain --now` ends them")))
        }
        return pieces
    }

    private func failed(_ failure: SupervisionEvent.Failure) -> String {
        var text = row(failure.step, false, "", failure.text + (failure.id.map { "  [\($0)]" } ?? ""))
        if let remedy = failure.remedy { text += "\n" + indent + remedy }
        return text
    }

    /// On a terminal one line that changes; elsewhere one line per change of the count.
    private mutating func draining(_ drain: SupervisionEvent.Draining) -> [Piece] {
        let text = row("drain", nil, "", DrainText.progress(drain))
        guard !updates else { return [.update(text)] }
        guard lastConnections != drain.connections else { return [] }
        lastConnections = drain.connections
        return [.line(text)]
    }

    private let indent = String(repeating: " ", count: 33)

    private func row(_ name: String, _ ok: Bool?, _ time: String, _ text: String) -> String {
        let verdict = ok.map { $0 ? tone("ok    ", .good) : tone("failed", .bad) } ?? "      "
        var line = "  " + padded(name, 14) + " " + verdict + "  " + padded(time, 7) + " " + text
        while line.hasSuffix(" ") { line.removeLast() }
        return line
    }

    private static func split(_ text: String) -> [Piece] { text.split(separator: "\n").map { .line(String($0)) } }
}

/// `text` with spaces after it up to `width`.
func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
func paddedLeft(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
