import Testing

@testable import ProxyAdmin

/// The regular expressions of ?filter and ?name_regex.
struct PatternTests {
    @Test(
        "matches in part",
        arguments: [
            ("", "anything"), ("a", "cat"), ("^a", "ab"), ("b$", "ab"), ("a.c", "xabcx"), ("a*b", "b"), ("a+b", "aab"), ("ab?c", "ac"),
            ("a|b|c", "xcx"), ("(a|b)c", "bc"), ("(?:ab)+$", "xabab"), ("(?P<n>a)b", "ab"), ("(?<n>a)b", "ab"), ("a{2}", "baab"),
            ("^a{2,}$", "aaaa"), ("^a{2,3}$", "aaa"), ("[a-c]x", "bx"), ("[^a-c]x", "dx"), ("[]a]", "]"), ("[^]]", "a"), ("[a-]", "-"),
            ("[-a]", "-"), ("\\d\\D\\w\\W\\s\\S", "1aa- b"), ("\\.", "."), ("[\\.-9]", "5"), ("[\\d_]", "_"), ("[+--]", ","),
            ("\\bab\\b", "x ab y"), ("\\Bb", "ab"), ("\\Aa\\z", "a"), ("(?i)aB", "Ab"), ("(?i:a)b", "Ab"), ("(?i)[x-z]", "Y"),
            ("a{,2}", "a{,2}"), ("a{", "a{"), ("{", "{"), ("a{x}", "a{x}"), ("a*?b", "aab"), ("a{2}?b", "aab"), ("(a*)*$", "aa"),
            ("\u{E9}+", "x\u{E9}\u{E9}"), ("^.$", "\u{1F600}"), ("x*", "xx"),
            ("a||b", ""), ("()", ""), ("(|a)+$", "aa"), ("^*a", "a"), ("\\n\\t\\r", "\n\t\r"), ("[\\n]", "\n"),
        ])
    func matches(pattern: String, text: String) throws { #expect(try LinearPattern(pattern).matchesPart(of: text)) }

    @Test(
        "does not match",
        arguments: [
            ("a", "b"), ("^a", "ba"), ("a$", "ab"), ("a.c", "a\nc"), ("[^a-c]", "abc"), ("a{3}", "aa"), ("^a{2,3}$", "aaaa"), ("A", "a"),
            ("(?i:a)b", "AB"), ("\\bb", "ab"), ("\\Bb", "b"), ("[\\.-9]", "a"), ("a+", ""), ("(?i)\u{E9}", "\u{C9}"),
        ])
    func mismatches(pattern: String, text: String) throws { #expect(try !LinearPattern(pattern).matchesPart(of: text)) }

    @Test("as a whole")
    func whole() throws {
        let pattern = try LinearPattern("a|ab")
        #expect(try pattern.matchesWhole("ab") && pattern.matchesWhole("a") && !pattern.matchesWhole("abc") && !pattern.matchesWhole("xa"))
        #expect(try LinearPattern("").matchesWhole("") && !LinearPattern("").matchesWhole("a"))
        #expect(try LinearPattern("\\bab\\b").matchesWhole("ab") && !LinearPattern("a\\b").matchesWhole("ab"))
    }

    @Test(
        "syntax errors in RE2's words",
        arguments: [
            ("(", "missing ): ("), ("a)", "unexpected ): a)"), ("(()", "missing ): (()"), ("[[:x", "invalid character class range: [:x"),
            ("[", "missing ]: ["), ("[a", "missing ]: [a"),
            ("[]", "missing ]: []"), ("[^]", "missing ]: [^]"), ("a[b-", "missing ]: [b-"), ("[a\\", "trailing \\"),
            ("*", "no argument for repetition operator: *"), ("a|+", "no argument for repetition operator: +"),
            ("(?i)*", "no argument for repetition operator: *"), ("a**", "bad repetition operator: **"),
            ("a*{2}", "bad repetition operator: *{2}"), ("a{2000}", "invalid repetition size: {2000}"),
            ("a{3,2}", "invalid repetition size: {3,2}"), ("\\q", "invalid escape sequence: \\q"), ("\\", "trailing \\"),
            ("(?z)", "invalid perl operator: (?z"), ("(?", "invalid perl operator: (?"), ("(?=a)", "invalid perl operator: (?="),
            ("[z-a]", "invalid character class range: z-a"), ("[[:foo:]]", "invalid character class range: [:foo:]"),
            ("[a-\\d]", "invalid character class range: a-\\d"), ("[\\D]", "invalid escape sequence: \\D"),
        ])
    func errors(pattern: String, problem: String) {
        #expect(throws: LinearPattern.Failure(problem)) { try LinearPattern(pattern) }
    }

    @Test("bounds: length, nesting, size")
    func bounds() {
        #expect(throws: LinearPattern.Failure("pattern is longer than 256 characters")) {
            try LinearPattern(String(repeating: "a", count: 257))
        }
        for pattern in [
            String(repeating: "(", count: 120) + String(repeating: ")", count: 120), "a{1000}{2}", "((a{100}){100}){100}", "(a{0,1000}){2}",
            "((){0,1000}){0,1000}",
        ] {
            #expect(throws: LinearPattern.Failure.self) { try LinearPattern(pattern) }
        }
    }

    @Test(
        "no pattern makes a long text take long",
        arguments: [
            "(a+)+$", "(a*)*b", "(a|a)*b", "(a|aa)+$", "(.*)*x", "((a?){30})a{30}b", "(a?){100}a{100}b", "a*a*a*a*a*b",
            "(.*a){20}b", "(((){1000}){1000}){1000}b", "\\b(\\w+\\s?)*x",
        ])
    func catastrophic(pattern: String) throws {
        let text = String(repeating: "a", count: 5_000)
        let clock = ContinuousClock()
        let start = clock.now
        let matcher = try LinearPattern(pattern)
        for _ in 0..<3 { _ = try? matcher.matchesPart(of: text) }
        // Generous, for a debug build on a busy machine: a backtracking matcher would not end today.
        #expect(clock.now - start < .seconds(10))
    }

    @Test("a pattern with more states than can be kept is refused once it has cost too much, not run for ever")
    func work() throws {
        let pattern = try LinearPattern(".*a.{200}b.{200}c")
        var random: UInt64 = 1
        let text = String(
            decoding: (0..<20_000).map { _ -> UInt8 in
                random = random &* 6_364_136_223_846_793_005 &+ 1
                return random >> 63 == 0 ? UInt8(ascii: "a") : UInt8(ascii: "d")
            }, as: UTF8.self)
        #expect(throws: LinearPattern.Failure("pattern needs too much work on these names")) {
            for _ in 0..<20 { _ = try pattern.matchesPart(of: text) }
        }
    }

    @Test("the kept states are forgotten when there are too many, and the answers stay right")
    func forgetting() throws {
        // 2 to the 11 states; texts of all 2 to the 12 forms.
        let pattern = try LinearPattern("a.{10}$")
        for number in stride(from: 0, to: 4096, by: 3) {
            let text = String(decoding: (0..<12).map { number >> $0 & 1 == 0 ? UInt8(ascii: "a") : UInt8(ascii: "b") }, as: UTF8.self)
            #expect(try pattern.matchesPart(of: text) == (Array(text.utf8)[1] == UInt8(ascii: "a")))
        }
    }

    @Test("patterns and texts made at random: what the automaton says is what backtracking says")
    func againstBacktracking() throws {
        var random = SmallRandom(seed: 7)
        for _ in 0..<300 {
            let pattern = random.pattern(depth: 3)
            let matcher = try LinearPattern(pattern)
            var parser = PatternParser(pattern)
            let tree = try parser.parse()
            for _ in 0..<5 {
                let text = random.text()
                let scalars = text.unicodeScalars.map(\.value)
                let part = (0...scalars.count).contains { start in !tree.ends(scalars, from: start).isEmpty }
                #expect(try matcher.matchesPart(of: text) == part, "\(pattern) on \(text)")
                #expect(try matcher.matchesWhole(text) == tree.ends(scalars, from: 0).contains(scalars.count), "\(pattern) on \(text)")
            }
        }
    }
}

private struct SmallRandom {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func below(_ limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % limit
    }
    mutating func text() -> String { String((0..<below(6)).map { _ in "ab_ "[below(4)] }) }
    mutating func pattern(depth: Int) -> String {
        guard depth > 0 else { return ["a", "b", ".", "[ab]", "[^a]", "\\w", "\\b", "\\B", "^", "$", ""][below(11)] }
        switch below(5) {
        case 0: return "(\(pattern(depth: depth - 1))|\(pattern(depth: depth - 1)))"
        case 1: return "(\(pattern(depth: depth - 1)))" + ["*", "+", "?", "{2}", "{1,2}", "{0,}"][below(6)]
        default: return pattern(depth: depth - 1) + pattern(depth: depth - 1)
        }
    }
}

extension String {
    fileprivate subscript(_ offset: Int) -> Character { self[index(startIndex, offsetBy: offset)] }
}

extension PatternNode {
    /// Every place where a match that begins at `start` can end: the definition, without regard to time.
    fileprivate func ends(_ text: [UInt32], from start: Int) -> Set<Int> {
        switch self {
        case .empty: return [start]
        case .set(let set): return start < text.count && set.contains(text[start]) ? [start + 1] : []
        case .assertion(let assertion): return Self.holds(assertion, text, start) ? [start] : []
        case .sequence(let nodes): return nodes.reduce([start]) { places, node in Set(places.flatMap { node.ends(text, from: $0) }) }
        case .either(let a, let b): return a.ends(text, from: start).union(b.ends(text, from: start))
        case .repeated(let node, let minimum, let maximum):
            var places: Set<Int> = [start]
            for _ in 0..<minimum { places = Set(places.flatMap { node.ends(text, from: $0) }) }
            var all = places
            for _ in 0..<(maximum.map { $0 - minimum } ?? text.count + 1) {
                places = Set(places.flatMap { node.ends(text, from: $0) })
                all.formUnion(places)
            }
            return all
        }
    }

    private static func holds(_ assertion: LinearPattern.Assertion, _ text: [UInt32], _ place: Int) -> Bool {
        func isWord(_ index: Int) -> Bool { text.indices.contains(index) && PatternParser.word.contains(text[index]) }
        switch assertion {
        case .textStart: return place == 0
        case .textEnd: return place == text.count
        case .wordBoundary: return isWord(place - 1) != isWord(place)
        case .noWordBoundary: return isWord(place - 1) == isWord(place)
        }
    }
}
