/// A regular expression in RE2's syntax, matched in time linear in the text. The admin server runs on the control loop, which
/// other generations watch: a backtracking matcher would let one request (`?filter=(a+)+$`) stop it long enough to be taken for
/// dead. Thompson's construction: a program is run over the text with the set of all places it can be in at once; PatternAutomaton
/// keeps the sets it has met, so that a filter over thousands of names costs little more than reading them.
struct LinearPattern {
    struct Failure: Error, Equatable {
        /// In RE2's words.
        var problem: String
        init(_ problem: String) { self.problem = problem }
        /// As Envoy answers.
        var text: String { "Invalid re2 regex: \(problem)" }
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

    private let part: PatternAutomaton
    private let whole: PatternAutomaton

    init(_ pattern: String) throws(Failure) {
        guard pattern.unicodeScalars.count <= Self.lengthLimit else {
            throw Failure("pattern is longer than \(Self.lengthLimit) characters")
        }
        var parser = PatternParser(pattern)
        let tree = try parser.parse()
        var program: [Instruction] = []
        try Self.emit(tree, into: &program)
        program.append(.accept)
        part = PatternAutomaton(program, isWhole: false)
        whole = PatternAutomaton(program, isWhole: true)
    }

    /// Both fail only once a pattern has cost too much over all the texts it was tried on.
    func matchesPart(of text: String) throws(Failure) -> Bool { try part.matches(text) }
    func matchesWhole(_ text: String) throws(Failure) -> Bool { try whole.matches(text) }

    /// Those of `items` whose name matches, in part or as a whole; the others if `inverted`.
    func select<Item>(
        _ items: [Item], whole isWhole: Bool = false, inverted: Bool = false, by name: (Item) -> String
    ) throws(Failure) -> [Item] {
        let automaton = isWhole ? whole : part
        var selected: [Item] = []
        for item in items {
            if try automaton.matches(name(item)) != inverted { selected.append(item) }
        }
        return selected
    }

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
}
