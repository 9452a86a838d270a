import Glibc
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
        // Clocks before links, links after sockets. EXPLORE_DEEP=1: three million states.
        Case(
            name: "a driver in any order",
            bounds: Bounds(generations: 3, faults: getenv("EXPLORE_DEEP") == nil ? 1 : 2, contract: [.ownerWatch, .wordOfTheDead])),
        Case(name: "four generations, late clocks", bounds: Bounds(generations: 4, faults: 2, clocksAreLate: true)),
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
        #expect(explorer.model.table.states.count == 14, "every state of the machine was met: \(explorer.model.table.states.sorted())")
        if let violation { Issue.record("\(violation.text)\n\(violation.description)") }
    }
}

extension Duration {
    var formatted: String { "\(components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000) ms" }
}

/// What the driver owes the machine is needed: without it a promise is broken, though the machine is whole.
struct ContractTests {
    @Test("a driver that owes the machine something breaks a promise", arguments: [
        (Contract.ownerWatch, "a draining generation watches the process that the word names"),
        (.wordOfTheDead, "the word is taken from a dead process too"),
    ])
    func contract(missing: Contract, name: String) throws {
        var bounds = Bounds(generations: 3, faults: 2)
        bounds.contract.remove(missing)
        let found = try #require(Explorer(bounds).run(), "nothing is wrong without “\(name)”")
        print("without “\(name)”: \(found.description)")
    }
}

/// Whether the explorer would notice: the machine without one of its guards breaks a promise, for each of them.
struct MutantTests {
    @Test("the machine without one guard breaks a promise", arguments: Mutant.all.indices)
    func mutant(number: Int) throws {
        let mutant = Mutant.all[number]
        let violation = Explorer(mutant.bounds, mutant: mutant).run()
        let found = try #require(violation, "without the guard “\(mutant.name)” nothing is wrong")
        print("without “\(mutant.name)”: \(found.text) (\(found.steps.count) steps)")
    }
}
