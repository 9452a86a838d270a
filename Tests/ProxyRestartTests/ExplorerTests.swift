import Testing

@testable import ProxyRestart

@Suite(.serialized)
struct ExplorerTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var bounds: Bounds
        var testDescription: String { name }
    }
    static let cases = [
        Case(name: "three generations, two adverse acts", bounds: Bounds(generations: 3, faults: 2)),
        Case(name: "four generations, late clocks", bounds: Bounds(generations: 4, faults: 1, clocksAreLate: true)),
        Case(name: "a second attempt during the first", bounds: Bounds(generations: 3, faults: 1, attemptsAtOnce: 2)),
        Case(name: "fencing cannot kill", bounds: Bounds(generations: 3, faults: 2, canKill: false, acts: [.suspend])),
    ]

    @Test("no order of deaths, stops, time-outs and messages breaks a promise", arguments: cases)
    func promises(_ world: Case) {
        let explorer = Explorer(world.bounds)
        var violation: Explorer.Violation?
        let time = ContinuousClock().measure { violation = explorer.run() }
        print(
            "\(world.name): \(explorer.stateCount) states, \(explorer.transitionCount) transitions, \(explorer.settledCount) settled,",
            "\(explorer.finalCount) final, \(time.formatted)")
        if let violation { Issue.record("\(violation.text)\n\(violation.description)") }
    }
}

extension Duration {
    var formatted: String { "\(components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000) ms" }
}
