/// Breadth-first search over all states of the model; the first violation found is a shortest one.
final class Explorer {
    struct Violation {
        var text: String
        var steps: [String]
        var description: String {
            steps.enumerated().map { "\($0.offset + 1). \($0.element)" }.joined(separator: "\n") + "\n=> \(text)"
        }
    }

    let model: Model
    private let promises: Promises
    private var worlds: [World] = []
    /// How each state was reached.
    private var origins: [(from: UInt32, action: UInt16)] = []
    /// Open addressing; index + 1 of a world, 0: free.
    private var table = [UInt32](repeating: 0, count: 1 << 16)
    /// Edges of what happens by itself, by state: `fairEnds[i]` is where those of state i end.
    private var fairEdges: [UInt32] = []
    private var fairEnds: [Int] = []

    var stateCount: Int { worlds.count }
    private(set) var transitionCount = 0
    private(set) var settledCount = 0
    private(set) var finalCount = 0

    init(_ bounds: Bounds, mutant: Mutant? = nil) {
        model = Model(bounds, mutant: mutant)
        promises = Promises(model: model)
    }

    /// Visit everything; nil: every promise holds in every state.
    func run() -> Violation? {
        _ = add(model.initial, from: 0, Action(.start, 0))
        var actions: [Action] = []
        var next = 0
        while next < worlds.count {
            let world = worlds[next]
            if let text = promises.always(world) { return violation(text, at: next) }
            model.actions(in: world, into: &actions)
            var isSettled = true
            var isFinal = true
            for action in actions {
                var successor = world
                model.apply(action, to: &successor)
                if successor == world { continue }
                transitionCount += 1
                let index = add(successor, from: next, action)
                if action.isUrgent { isSettled = false }
                if action.isFair {
                    isFinal = false
                    fairEdges.append(UInt32(index))
                }
            }
            fairEnds.append(fairEdges.count)
            if isSettled {
                settledCount += 1
                if let text = promises.settled(world) { return violation(text, at: next) }
            }
            if isFinal {
                finalCount += 1
                if let text = promises.finally(world) { return violation(text, at: next) }
            }
            next += 1
        }
        return circle()
    }

    private func add(_ world: World, from: Int, _ action: Action) -> Int {
        if worlds.count * 2 >= table.count { grow() }
        var place = Int(truncatingIfNeeded: world.mixed) & (table.count - 1)
        while table[place] != 0 {
            let index = Int(table[place]) - 1
            if worlds[index] == world { return index }
            place = (place + 1) & (table.count - 1)
        }
        worlds.append(world)
        origins.append((UInt32(from), action.code))
        table[place] = UInt32(worlds.count)
        return worlds.count - 1
    }

    private func grow() {
        table = [UInt32](repeating: 0, count: table.count * 4)
        for (index, world) in worlds.enumerated() {
            var place = Int(truncatingIfNeeded: world.mixed) & (table.count - 1)
            while table[place] != 0 { place = (place + 1) & (table.count - 1) }
            table[place] = UInt32(index + 1)
        }
    }

    /// What happens by itself must come to an end (promise 4): its graph has no circle. States with nothing left before them are
    /// taken away until none is left, or only circles.
    private func circle() -> Violation? {
        var waiting = [UInt32](repeating: 0, count: worlds.count)
        for edge in fairEdges { waiting[Int(edge)] += 1 }
        var free = worlds.indices.filter { waiting[$0] == 0 }
        var taken = 0
        while let state = free.popLast() {
            taken += 1
            for edge in (state == 0 ? 0 : fairEnds[state - 1])..<fairEnds[state] {
                let target = Int(fairEdges[edge])
                waiting[target] -= 1
                if waiting[target] == 0 { free.append(target) }
            }
        }
        guard taken < worlds.count else { return nil }
        return violation("promise 4: from here on things can go round in a circle", at: worlds.indices.first { waiting[$0] > 0 }!)
    }

    private func violation(_ text: String, at state: Int) -> Violation {
        var path: [Action] = []
        var state = state
        while state != 0 {
            path.append(Action(code: origins[state].action))
            state = Int(origins[state].from)
        }
        var world = model.initial
        var steps: [String] = []
        for action in path.reversed() {
            steps.append(model.describe(action, in: world))
            model.apply(action, to: &world)
        }
        return Violation(text: text, steps: steps)
    }
}
