/// A regular expression in RE2's syntax, matched in time linear in the text. The admin server runs on the control loop, which
/// other generations watch: a backtracking matcher would let one request (`?filter=(a+)+$`) stop it long enough to be taken for
/// dead. Thompson's construction: a program is run over the text with the set of all places it can be in at once.
struct LinearPattern {
    struct Failure: Error, Equatable {
        /// As Envoy answers.
        var text: String
        init(_ problem: String) { text = "Invalid re2 regex: \(problem)" }
    }

    /// Characters that one step takes.
    struct CharacterSet: Equatable {
        var ranges: [ClosedRange<UInt32>]
        var isNegated = false
        func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } != isNegated }
    }

    enum Assertion: Equatable { case textStart, textEnd, wordBoundary, noWordBoundary }

    enum Instruction: Equatable {
        case take(CharacterSet)
        case assert(Assertion)
        case fork(Int, Int)
        case jump(Int)
        case accept
    }

    static let lengthLimit = 256
    static let programLimit = 1024

    private let program: [Instruction]

    init(_ pattern: String) throws(Failure) {
        guard pattern.unicodeScalars.count <= Self.lengthLimit else {
            throw Failure("pattern is longer than \(Self.lengthLimit) characters")
        }
        var parser = PatternParser(pattern)
        let tree = try parser.parse()
        var program: [Instruction] = []
        try Self.emit(tree, into: &program)
        self.program = program + [.accept]
    }

    func matchesPart(of text: String) -> Bool { run(text, whole: false) }
    func matchesWhole(_ text: String) -> Bool { run(text, whole: true) }

    // MARK: - Compiling

    private static func emit(_ node: PatternNode, into program: inout [Instruction]) throws(Failure) {
        guard program.count < programLimit else { throw Failure("pattern too large - compile failed") }
        switch node {
        case .empty: break
        case .set(let set): program.append(.take(set))
        case .assertion(let assertion): program.append(.assert(assertion))
        case .sequence(let nodes): for node in nodes { try emit(node, into: &program) }
        case .either(let a, let b): try emitEither(a, b, into: &program)
        case .repeated(let node, let minimum, let maximum): try emitRepeated(node, minimum, maximum, into: &program)
        }
    }

    private static func emitEither(_ a: PatternNode, _ b: PatternNode, into program: inout [Instruction]) throws(Failure) {
        let fork = program.count
        program.append(.jump(0))
        try emit(a, into: &program)
        let jump = program.count
        program.append(.jump(0))
        program[fork] = .fork(fork + 1, program.count)
        try emit(b, into: &program)
        program[jump] = .jump(program.count)
    }

    private static func emitRepeated(_ node: PatternNode, _ minimum: Int, _ maximum: Int?, into program: inout [Instruction])
        throws(Failure)
    {
        for _ in 0..<minimum {
            let before = program.count
            try emit(node, into: &program)
            if program.count == before { break }  // an empty one is as good as many: ((){1000}){1000} must not be tried out
        }
        guard let maximum else {
            let fork = program.count
            program.append(.jump(0))
            try emit(node, into: &program)
            program.append(.jump(fork))
            program[fork] = .fork(fork + 1, program.count)
            return
        }
        var forks: [Int] = []
        for _ in minimum..<max(minimum, maximum) {
            forks.append(program.count)
            program.append(.jump(0))
            try emit(node, into: &program)
        }
        for fork in forks { program[fork] = .fork(fork + 1, program.count) }
    }

    // MARK: - Running

    private func run(_ text: String, whole: Bool) -> Bool {
        let scalars = text.unicodeScalars.map(\.value)
        var places = PlaceSet(count: program.count)
        var next = PlaceSet(count: program.count)
        for position in 0...scalars.count {
            if !whole || position == 0 { follow(0, at: position, scalars, into: &places) }
            let accepts = places.contains(program.count - 1)
            if accepts, !whole || position == scalars.count { return true }
            guard position < scalars.count else { return false }
            next.removeAll()
            for place in places.members {
                if case .take(let set) = program[place], set.contains(scalars[position]) {
                    follow(place + 1, at: position + 1, scalars, into: &next)
                }
            }
            swap(&places, &next)
            if whole, places.members.isEmpty { return false }
        }
        return false
    }

    /// Add `place` and all places that can be reached from it without taking a character.
    private func follow(_ place: Int, at position: Int, _ scalars: [UInt32], into places: inout PlaceSet) {
        var open = [place]
        while let place = open.popLast() {
            guard places.insert(place) else { continue }
            switch program[place] {
            case .take, .accept: break
            case .jump(let target): open.append(target)
            case .fork(let a, let b): open += [b, a]
            case .assert(let assertion): if holds(assertion, at: position, scalars) { open.append(place + 1) }
            }
        }
    }

    private func holds(_ assertion: Assertion, at position: Int, _ scalars: [UInt32]) -> Bool {
        func isWord(_ index: Int) -> Bool { scalars.indices.contains(index) && PatternParser.word.contains(scalars[index]) }
        switch assertion {
        case .textStart: return position == 0
        case .textEnd: return position == scalars.count
        case .wordBoundary: return isWord(position - 1) != isWord(position)
        case .noWordBoundary: return isWord(position - 1) == isWord(position)
        }
    }
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
