import ProxyModel
import Testing

@testable import restarter

@Suite("What a person reads")
struct ViewTests {
    @Test(
        arguments: [
            (0, "0s"), (59_999, "59s"), (60_000, "1m"), (558_000, "9m18s"), (11_520_000, "3h12m"), (7_200_000, "2h"), (187_200_000, "2d4h"),
        ] as [(UInt64, String)])
    func longTimesHaveTwoUnits(_ ms: UInt64, _ text: String) { #expect(Durations.rough(ms) == text) }

    @Test(arguments: [(0.4, "0.4 ms"), (9.96, "10.0 ms"), (31.2, "31 ms"), (999.4, "999 ms"), (1250, "1.25 s"), (60_000, "60.00 s")])
    func measuredTimesKeepTheirPrecision(_ ms: Double, _ text: String) { #expect(Durations.precise(ms) == text) }

    private func show(_ events: [SupervisionEvent], waits: Bool = false, updates: Bool = false) -> String {
        var view = RestartView(waits: waits, updates: updates)
        var lines: [String] = []
        for event in events {
            for piece in view.show(event) {
                switch piece {
                case .line(let text): lines.append(text)
                case .update(let text): lines.append("~" + text)
                }
            }
        }
        return lines.joined(separator: "\n")
    }

    private var report: RestartReport {
        var report = RestartReport()
        report.fromEpoch = 4
        report.toEpoch = 5
        report.listeners = .init(kept: 3, added: 1, removed: 0)
        report.connections.draining = 128
        return report
    }

    @Test func aRestartThatSucceeds() {
        let text = show([
            .step(.init(name: "check", ms: 12.3, text: "configuration 'proxy.yaml' OK")), .step(.init(name: "hello", ms: 0.4)),
            .step(.init(name: "take sockets", ms: 1.25, text: "3 tcp")), .serving(.init(epoch: 5, pid: 977, ms: 31, report: report)),
        ])
        #expect(
            text == """
                  check          ok      12 ms   configuration 'proxy.yaml' OK
                  hello          ok      0.4 ms
                  take sockets   ok      1.3 ms  3 tcp
                  serving        ok      31 ms   generation 5, pid 977; listeners: 3 kept, 1 added, 0 removed
                  drain                          128 connections left; `restarter status` shows them, `restarter drain --now` ends them
                """)
    }

    @Test func aRestartThatFailsNamesTheStepTheReasonAndTheRemedy() {
        let text = show([
            .failed(.init(step: "open listeners", id: "PX-R004", text: "cannot bind 127.0.0.1:80", remedy: "Free the address."))
        ])
        #expect(
            text == """
                  open listeners failed          cannot bind 127.0.0.1:80  [PX-R004]
                                                 Free the address.
                """)
    }

    private var drains: [SupervisionEvent] {
        [
            .draining(.init(epoch: 4, pid: 812, connections: 128, oldestMs: 11_520_000, listener: "edge", endsInMs: 558_000)),
            .draining(.init(epoch: 4, pid: 812, connections: 128, oldestMs: 11_521_000, listener: "edge", endsInMs: 557_000)),
            .draining(.init(epoch: 4, pid: 812, connections: 1, oldestMs: 11_522_000, endsInMs: 556_000)),
            .drained(.init(epoch: 4, forced: 1)),
        ]
    }

    @Test func aDrainIsOneLineAChangeElsewhereThanOnATerminal() {
        #expect(
            show(drains, waits: true) == """
                  drain                          128 connections left, oldest 3h12m on edge, forced in 9m18s
                  drain                          1 connection left, oldest 3h12m, forced in 9m16s
                  drained        failed          generation 4; 1 connection was closed by force
                """)
    }

    @Test func onATerminalItIsOneLineThatChanges() {
        let lines = show(drains, waits: true, updates: true).split(separator: "\n")
        #expect(lines.filter { $0.hasPrefix("~") }.count == 3)
    }

    @Test func theOpeningSaysWhoServes() {
        var serving = ProxyStatus()
        serving.epoch = 4
        serving.pid = 812
        #expect(RestartView().opening(serving) == "restart  from generation 4, pid 812")
        #expect(RestartView().opening(nil) == "start    nothing serves yet")
    }

    private let now: UInt64 = 1_795_000_000_000

    private var proxy: ProxyStatus {
        var proxy = ProxyStatus()
        proxy.epoch = 5
        proxy.pid = 977
        proxy.version = "0.1.0"
        proxy.startedUnixMs = now - 240_000
        proxy.configPath = "/etc/proxy/proxy.yaml"
        proxy.configHash = "1f2e3d4c"
        proxy.admin = "127.0.0.1:9901"
        proxy.generations = [
            .init(
                epoch: 4, pid: 812, state: "draining", connections: 128, oldestConnectionMs: 11_520_000, drainEndsUnixMs: now + 558_000,
                startedUnixMs: now - 90_000_000),
            .init(epoch: 5, pid: 977, state: "serving", connections: 0, oldestConnectionMs: 0, startedUnixMs: now - 240_000),
        ]
        var last = report
        last.totalMs = 31
        last.endedUnixMs = now - 240_000
        proxy.lastRestart = last
        return proxy
    }

    @Test func statusShowsEveryGeneration() {
        let text = StatusView(proxy: proxy, supervisor: nil, nowUnixMs: now).lines.joined(separator: "\n")
        #expect(
            text == """
                proxy         0.1.0, generation 5, pid 977, up 4m
                config        /etc/proxy/proxy.yaml, hash 1f2e3d4c
                admin         127.0.0.1:9901

                  epoch      pid  state        connections   oldest  ends in       up
                      5      977  serving                0        -        -       4m
                      4      812  draining             128    3h12m    9m18s     1d1h

                last restart  4 → 5 ok in 31 ms, 4m ago
                """)
    }

    @Test func theSupervisorKnowsOfAttemptsThatNeverReachedTheProxy() {
        var failed = report
        failed.result = .failed
        failed.failedStep = "check"
        failed.reason = "the configuration is invalid"
        failed.endedUnixMs = now - 3_000
        let supervisor = SupervisorStatus(
            pid: 700, startedUnixMs: now - 3_600_000, program: "/usr/bin/proxy", arguments: [], phase: "idle", generations: [],
            lastRestart: failed)
        let lines = StatusView(proxy: proxy, supervisor: supervisor, nowUnixMs: now).lines
        #expect(lines.contains("supervisor    pid 700, up 1h, idle"))
        #expect(lines.last == "last restart  4 → 5 failed, 3s ago; step check: the configuration is invalid")
        #expect(StatusView(proxy: nil, supervisor: supervisor, nowUnixMs: now).lines.first == "supervisor    pid 700, up 1h, idle")
    }
}
