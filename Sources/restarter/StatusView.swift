import ProxyModel

/// What runs, as a page of text.
struct StatusView {
    var proxy: ProxyStatus?
    var supervisor: SupervisorStatus?
    var nowUnixMs: UInt64
    var tone: (String, Console.Tone) -> String = { text, _ in text }

    init(proxy: ProxyStatus?, supervisor: SupervisorStatus?, nowUnixMs: UInt64) {
        self.proxy = proxy
        self.supervisor = supervisor
        self.nowUnixMs = nowUnixMs
    }

    var lines: [String] {
        var lines: [String] = []
        if let proxy { lines += head(proxy) }
        if let supervisor {
            lines.append(field("supervisor", "pid \(supervisor.pid), up \(age(supervisor.startedUnixMs)), \(supervisor.phase)"))
        }
        if let proxy { lines += [""] + table(proxy.generations.sorted { $0.epoch > $1.epoch }) }
        if let last = lastRestart {
            let isFirst = last.fromEpoch == nil && last.result == .ok
            lines += ["", field(isFirst ? "first start" : "last restart", describe(last))]
        }
        return lines
    }

    /// The newest that either knows of: the proxy does not see an attempt that failed before it was asked.
    var lastRestart: RestartReport? {
        [proxy?.lastRestart, supervisor?.lastRestart].compactMap { $0 }.max { ($0.endedUnixMs ?? 0) < ($1.endedUnixMs ?? 0) }
    }

    private func head(_ proxy: ProxyStatus) -> [String] {
        var lines = [
            field(
                "proxy",
                "\(proxy.version), generation \(proxy.epoch), pid \(proxy.pid), up \(age(proxy.startedUnixMs))"
                    + (proxy.restartInProgress ? ", restart in progress" : ""))
        ]
        let source = proxy.configPath ?? (proxy.configYAML == nil ? "embedded default" : "given inline")
        lines.append(field("config", source + (proxy.configHash.map { ", hash \($0)" } ?? "")))
        if let admin = proxy.admin { lines.append(field("admin", admin)) }
        return lines
    }

    private func table(_ generations: [ProxyStatus.Generation]) -> [String] {
        let header = tone(row("epoch", "pid", "state", "connections", "oldest", "ends in", "up"), .faint)
        return [header]
            + generations.map { generation in
                row(
                    String(generation.epoch), String(generation.pid), generation.state, String(generation.connections),
                    generation.connections > 0 ? generation.oldestConnectionMs.map(Durations.rough) ?? "-" : "-", timeLeft(generation),
                    age(generation.startedUnixMs))
            }
    }

    private func timeLeft(_ generation: ProxyStatus.Generation) -> String {
        guard let end = generation.drainEndsUnixMs, end > 0 else { return "-" }
        return Durations.rough(end > nowUnixMs ? end - nowUnixMs : 0)
    }

    private func describe(_ report: RestartReport) -> String {
        let from = report.fromEpoch.map { "\($0) → " } ?? ""
        var text = "\(from)\(report.toEpoch) "
        switch report.result {
        case .ok: text += tone("ok", .good) + " in \(Durations.precise(report.totalMs))"
        case .failed: text += tone("failed", .bad)
        case .rolledBack: text += tone("rolled back", .bad)
        }
        if let ended = report.endedUnixMs { text += ", \(age(ended)) ago" }
        if let step = report.failedStep { text += "; step \(step)" }
        if let reason = report.reason { text += ": \(reason)" }
        return text
    }

    private func age(_ unixMs: UInt64) -> String { Durations.rough(nowUnixMs > unixMs ? nowUnixMs - unixMs : 0) }
    private func field(_ name: String, _ text: String) -> String { tone(padded(name, 14), .faint) + text }

    private func row(_ epoch: String, _ pid: String, _ state: String, _ connections: String, _ oldest: String, _ end: String, _ up: String)
        -> String
    {
        "  " + paddedLeft(epoch, 5) + paddedLeft(pid, 9) + "  " + padded(state, 12) + paddedLeft(connections, 12) + paddedLeft(oldest, 9)
            + paddedLeft(end, 9) + paddedLeft(up, 9)
    }
}
