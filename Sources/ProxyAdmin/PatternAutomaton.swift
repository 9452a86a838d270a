/// Runs a compiled pattern over many texts. What a set of places turns into on a character is worked out once and kept: a
/// deterministic automaton, built as far as the texts need it. The work of building is bounded, because some patterns have more
/// sets than any text will ever meet twice (`.*a.{200}`); one that goes beyond the bound is refused.
final class PatternAutomaton {
    typealias Failure = LinearPattern.Failure

    /// Places not yet followed through forks and assertions, and what those need to know of the text before them.
    private struct State: Hashable {
        var places: [Int]
        var isStart = false
        var isAfterWord = false
    }

    /// Where a character leads: to the state of that number, or to one of these.
    private enum Move {
        static let unknown: Int32 = -1
        static let match: Int32 = -2
        static let mismatch: Int32 = -3
    }

    private static let asciiCount = 128
    /// One column per ASCII character, and one for the end of the text.
    private static let columns = asciiCount + 1
    private static let stateLimit = 1000
    /// In places looked at: some hundredths of a second. Ordinary filters need a few hundred.
    private static let workLimit = 500_000

    private let program: [LinearPattern.Instruction]
    private let isWhole: Bool
    private let asksForWords: Bool
    private var states: [State] = []
    private var numbers: [State: Int] = [:]
    private var moves: [Int32] = []
    private var work = 0
    /// How often the table was emptied.
    private var rounds = 0
    private var reached: PlaceSet

    init(_ program: [LinearPattern.Instruction], isWhole: Bool) {
        self.program = program
        self.isWhole = isWhole
        asksForWords = program.contains(.assert(.wordBoundary)) || program.contains(.assert(.noWordBoundary))
        reached = PlaceSet(count: program.count)
        forgetAll()
    }

    func matches(_ text: String) throws(Failure) -> Bool {
        var state = 0
        for scalar in text.unicodeScalars {
            switch try move(from: state, on: scalar.value) {
            case Move.match: return true
            case Move.mismatch: return false
            case let next: state = Int(next)
            }
        }
        return try move(from: state, on: nil) == Move.match
    }

    /// `scalar` nil: the text ends.
    private func move(from state: Int, on scalar: UInt32?) throws(Failure) -> Int32 {
        if let scalar, scalar >= Self.asciiCount { return try workedOut(from: state, on: scalar) }
        let column = scalar.map { Int($0) } ?? Self.asciiCount
        let known = moves[state * Self.columns + column]
        guard known == Move.unknown else { return known }
        let round = rounds
        let move = try workedOut(from: state, on: scalar)
        // Working it out may have emptied the table.
        if round == rounds { moves[state * Self.columns + column] = move }
        return move
    }

    private func workedOut(from number: Int, on scalar: UInt32?) throws(Failure) -> Int32 {
        follow(states[number], before: scalar)
        work += reached.members.count + 1
        guard work < Self.workLimit else { throw Failure("pattern needs too much work on these names") }
        let accepts = reached.contains(program.count - 1)
        guard let scalar else { return accepts ? Move.match : Move.mismatch }
        if accepts, !isWhole { return Move.match }
        var places = reached.members.filter { place in
            if case .take(let set) = program[place] { set.contains(scalar) } else { false }
        }.map { $0 + 1 }
        if !isWhole { places.append(0) }
        guard !places.isEmpty else { return Move.mismatch }
        places.sort()
        return Int32(self.number(of: State(places: places, isAfterWord: asksForWords && Self.isWord(scalar))))
    }

    private func number(of state: State) -> Int {
        if let number = numbers[state] { return number }
        if states.count >= Self.stateLimit { forgetAll() }
        return add(state)
    }

    private func add(_ state: State) -> Int {
        numbers[state] = states.count
        states.append(state)
        moves += repeatElement(Move.unknown, count: Self.columns)
        return states.count - 1
    }

    /// State 0 is where every text begins.
    private func forgetAll() {
        rounds += 1
        states.removeAll()
        numbers.removeAll()
        moves.removeAll(keepingCapacity: true)
        _ = add(State(places: [0], isStart: true))
    }

    /// Fill `reached` with all places that can be reached from `state` without taking a character.
    private func follow(_ state: State, before next: UInt32?) {
        reached.removeAll()
        var open = Array(state.places.reversed())
        while let place = open.popLast() {
            guard reached.insert(place) else { continue }
            switch program[place] {
            case .take, .accept: break
            case .jump(let target): open.append(target)
            case .fork(let a, let b): open += [b, a]
            case .assert(let assertion): if Self.holds(assertion, after: state, before: next) { open.append(place + 1) }
            }
        }
    }

    private static func holds(_ assertion: LinearPattern.Assertion, after state: State, before next: UInt32?) -> Bool {
        switch assertion {
        case .textStart: state.isStart
        case .textEnd: next == nil
        case .wordBoundary: state.isAfterWord != (next.map(isWord) ?? false)
        case .noWordBoundary: state.isAfterWord == (next.map(isWord) ?? false)
        }
    }

    private static func isWord(_ scalar: UInt32) -> Bool { PatternParser.word.contains(scalar) }
}

/// A set of small integers with its members in order of insertion.
private struct PlaceSet {
    private(set) var members: [Int] = []
    private var present: [Bool]
    init(count: Int) { present = Array(repeating: false, count: count) }
    func contains(_ place: Int) -> Bool { present[place] }
    mutating func insert(_ place: Int) -> Bool {
        guard !present[place] else { return false }
        present[place] = true
        members.append(place)
        return true
    }
    mutating func removeAll() {
        for place in members { present[place] = false }
        members.removeAll(keepingCapacity: true)
    }
}
