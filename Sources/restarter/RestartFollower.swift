import FoundationEssentials
import ProxyCore
import ProxyModel

/// Shows a restart's events and knows when the command is over.
final class RestartFollower {
    private let console: Console
    private let json: Bool
    private let waits: Bool
    private var view: RestartView
    private(set) var serving: SupervisionEvent.Serving?
    /// The generation whose drain is waited for.
    private var from: UInt64?
    /// Whatever was reported, once.
    private(set) var result: ExitStatus?
    var onResult: (ExitStatus) -> Void = { _ in }

    init(console: Console, json: Bool, waits: Bool) {
        self.console = console
        self.json = json
        self.waits = waits
        view = RestartView(waits: waits, updates: console.isTerminal)
        view.tone = console.toned
    }

    func open(_ serving: ProxyStatus?) {
        from = serving?.epoch
        if !json { console.line(view.opening(serving)) }
    }

    func take(_ event: SupervisionEvent) {
        guard result == nil else { return }
        show(event)
        switch event {
        case .serving(let serving):
            self.serving = serving
            let parent = serving.report.map(\.fromEpoch) ?? from
            if !waits || parent == nil { finish(.done) }
        case .drained(let drained):
            if serving != nil, from == nil || drained.epoch == from { finish(.done) }
        case .failed(let failure): finish(failure.exitCode.flatMap(ExitStatus.init) ?? .failed)
        case .rolledBack: if serving != nil { finish(.failed) }
        default: break
        }
    }

    /// The one who told is gone.
    func lost(_ text: String) {
        if result == nil { take(.failed(.init(step: serving == nil ? "start" : "drain", text: text, exitCode: 1))) }
    }

    private func finish(_ status: ExitStatus) {
        console.endUpdate()
        result = status
        onResult(status)
    }

    private func show(_ event: SupervisionEvent) {
        guard !json else { return console.line(JSONLine.text(event)) }
        for piece in view.show(event) {
            switch piece {
            case .line(let text): console.line(text)
            case .update(let text): console.update(text)
            }
        }
        guard case .failed(let failure) = event else { return }
        if console.quiet { console.error("\(failure.step): \(failure.text)" + (failure.remedy.map { "\n  \($0)" } ?? "")) }
        if let output = failure.output, !output.isEmpty { console.passOn(output) }
    }
}

/// One value as one line of JSON.
enum JSONLine {
    static func text<T: Encodable>(_ value: T) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }
}
