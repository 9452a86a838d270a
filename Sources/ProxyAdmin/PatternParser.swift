indirect enum PatternNode: Equatable {
    case empty
    case set(LinearPattern.CharacterSet)
    case assertion(LinearPattern.Assertion)
    case sequence([PatternNode])
    case either(PatternNode, PatternNode)
    /// `maximum` nil: no bound.
    case repeated(PatternNode, minimum: Int, maximum: Int?)
}

/// Reads RE2's syntax: characters, `.`, classes, escapes, groups, alternatives, repetition (greedy or not: the same here, since only
/// whether a text matches is asked), anchors, `(?i)`. Error texts are RE2's.
struct PatternParser {
    typealias CharacterSet = LinearPattern.CharacterSet
    typealias Failure = LinearPattern.Failure

    private let scalars: [Unicode.Scalar]
    private var position = 0
    private var depth = 0
    private var ignoresCase = false

    static let digit = CharacterSet(ranges: [48...57])
    static let word = CharacterSet(ranges: [48...57, 65...90, 95...95, 97...122])
    static let space = CharacterSet(ranges: [9...10, 12...13, 32...32])
    static let anything = CharacterSet(ranges: [10...10], isNegated: true)
    private static let repetitionLimit = 1000
    private static let depthLimit = 64

    init(_ pattern: String) { scalars = Array(pattern.unicodeScalars) }

    mutating func parse() throws(Failure) -> PatternNode {
        let node = try alternatives()
        if peek != nil { throw Failure("unexpected ): \(string(from: 0))") }
        return node
    }

    private var peek: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }
    private func string(from start: Int) -> String { String(String.UnicodeScalarView(scalars[start...])) }
    private func string(_ range: Range<Int>) -> String { String(String.UnicodeScalarView(scalars[range])) }

    private mutating func skip(_ text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        guard scalars[position...].starts(with: wanted) else { return false }
        position += wanted.count
        return true
    }

    // MARK: - Structure

    private mutating func alternatives() throws(Failure) -> PatternNode {
        var node = try sequence()
        while skip("|") { node = .either(node, try sequence()) }
        return node
    }

    private mutating func sequence() throws(Failure) -> PatternNode {
        var nodes: [PatternNode] = []
        while let next = peek, next != "|", next != ")" {
            let start = position
            let node = try atom()
            nodes.append(try repetitions(of: node, from: start))
        }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    private mutating func repetitions(of atom: PatternNode, from start: Int) throws(Failure) -> PatternNode {
        let operatorStart = position
        guard let (minimum, maximum) = try repetition() else { return atom }
        if case .empty = atom { throw Failure("no argument for repetition operator: \(string(operatorStart..<position))") }
        _ = skip("?")
        let secondStart = position
        if try repetition() != nil { throw Failure("bad repetition operator: \(string(operatorStart..<max(position, secondStart)))") }
        return .repeated(atom, minimum: minimum, maximum: maximum)
    }

    /// nil where no operator follows; a "{" that begins none is an ordinary character.
    private mutating func repetition() throws(Failure) -> (Int, Int?)? {
        if skip("*") { return (0, nil) }
        if skip("+") { return (1, nil) }
        if skip("?") { return (0, 1) }
        let start = position
        guard skip("{"), let minimum = number() else {
            position = start
            return nil
        }
        var maximum: Int? = minimum
        if skip(",") { maximum = number() }
        guard skip("}") else {
            position = start
            return nil
        }
        if max(minimum, maximum ?? 0) > Self.repetitionLimit || (maximum ?? minimum) < minimum {
            throw Failure("invalid repetition size: \(string(start..<position))")
        }
        return (minimum, maximum)
    }

    private mutating func number() -> Int? {
        let start = position
        while let next = peek, Self.digit.contains(next.value), position - start < 6 { position += 1 }
        return Int(string(start..<position))
    }

    private mutating func atom() throws(Failure) -> PatternNode {
        let start = position
        let next = scalars[position]
        position += 1
        switch next {
        case "(": return try group(from: start)
        case "[": return .set(try characterClass(from: start))
        case ".": return .set(Self.anything)
        case "^": return .assertion(.textStart)
        case "$": return .assertion(.textEnd)
        case "*", "+", "?": throw Failure("no argument for repetition operator: \(next)")
        case "\\": return try escape(from: start)
        default: return .set(single(next))
        }
    }

    private mutating func group(from start: Int) throws(Failure) -> PatternNode {
        let outerCase = ignoresCase
        if skip("?") {
            if skip("i)") {
                ignoresCase = true
                return .empty
            }
            if skip("i:") { ignoresCase = true } else if !skip(":") { try groupName(from: start) }
        }
        depth += 1
        guard depth <= Self.depthLimit else { throw Failure("pattern too large - compile failed") }
        let node = try alternatives()
        guard skip(")") else { throw Failure("missing ): \(string(from: 0))") }
        depth -= 1
        ignoresCase = outerCase
        return node
    }

    private mutating func groupName(from start: Int) throws(Failure) {
        guard skip("P<") || skip("<"), let end = scalars[position...].firstIndex(of: ">"), end > position else {
            throw Failure("invalid perl operator: \(string(start..<min(position + 1, scalars.count)))")
        }
        position = end + 1
    }

    // MARK: - Characters

    private func single(_ scalar: Unicode.Scalar) -> CharacterSet {
        guard ignoresCase else { return CharacterSet(ranges: [scalar.value...scalar.value]) }
        return CharacterSet(ranges: Self.bothCases(scalar.value...scalar.value))
    }

    /// ASCII letters only: names of statistics hold no others.
    private static func bothCases(_ range: ClosedRange<UInt32>) -> [ClosedRange<UInt32>] {
        let lower = range.clamped(to: 97...122)
        let upper = range.clamped(to: 65...90)
        var ranges = [range]
        if range.overlaps(97...122) { ranges.append(lower.lowerBound - 32...lower.upperBound - 32) }
        if range.overlaps(65...90) { ranges.append(upper.lowerBound + 32...upper.upperBound + 32) }
        return ranges
    }

    private mutating func escape(from start: Int) throws(Failure) -> PatternNode {
        switch peek {
        case "b":
            position += 1
            return .assertion(.wordBoundary)
        case "B":
            position += 1
            return .assertion(.noWordBoundary)
        case "A":
            position += 1
            return .assertion(.textStart)
        case "z":
            position += 1
            return .assertion(.textEnd)
        default:
            let set = try escapedSet(from: start)
            return .set(ignoresCase ? CharacterSet(ranges: set.ranges.flatMap(Self.bothCases), isNegated: set.isNegated) : set)
        }
    }

    /// What follows a backslash, in or outside a class.
    private mutating func escapedSet(from start: Int) throws(Failure) -> CharacterSet {
        guard let next = peek else { throw Failure("trailing \\") }
        position += 1
        switch next {
        case "d": return Self.digit
        case "D": return CharacterSet(ranges: Self.digit.ranges, isNegated: true)
        case "w": return Self.word
        case "W": return CharacterSet(ranges: Self.word.ranges, isNegated: true)
        case "s": return Self.space
        case "S": return CharacterSet(ranges: Self.space.ranges, isNegated: true)
        case "n": return CharacterSet(ranges: [10...10])
        case "t": return CharacterSet(ranges: [9...9])
        case "r": return CharacterSet(ranges: [13...13])
        case _ where next.isASCII && !Self.word.contains(next.value): return CharacterSet(ranges: [next.value...next.value])
        default: throw Failure("invalid escape sequence: \(string(start..<position))")
        }
    }

    /// After "[". A negated escape inside a class (`[\D]`) is refused rather than half done, and so are named classes (`[:alpha:]`).
    private mutating func characterClass(from start: Int) throws(Failure) -> CharacterSet {
        var set = CharacterSet(ranges: [], isNegated: skip("^"))
        var isFirst = true
        while isFirst || peek != "]" {
            isFirst = false
            let itemStart = position
            let item = try classItem(from: start)
            guard let low = item.singleScalar, let high = try rangeEnd(from: start) else {
                set.ranges += item.ranges
                continue
            }
            guard low <= high else { throw Failure("invalid character class range: \(string(itemStart..<position))") }
            set.ranges.append(low...high)
        }
        position += 1
        if ignoresCase { set.ranges = set.ranges.flatMap(Self.bothCases) }
        return set
    }

    /// A character, or an escape.
    private mutating func classItem(from start: Int) throws(Failure) -> CharacterSet {
        guard let next = peek else { throw Failure("missing ]: \(string(from: start))") }
        if scalars[position...].starts(with: ["[", ":"]) {
            let end = (position + 2..<scalars.count).first { scalars[$0] == "]" && scalars[$0 - 1] == ":" }
            throw Failure("invalid character class range: \(string(position..<(end.map { $0 + 1 } ?? scalars.count)))")
        }
        position += 1
        guard next == "\\" else { return CharacterSet(ranges: [next.value...next.value]) }
        let escaped = try escapedSet(from: position - 1)
        guard !escaped.isNegated else { throw Failure("invalid escape sequence: \(string(position - 2..<position))") }
        return escaped
    }

    /// The upper end of the range that a "-" begins; nil where there is none. A "-" before "]" is itself.
    private mutating func rangeEnd(from start: Int) throws(Failure) -> UInt32? {
        guard peek == "-", position + 1 < scalars.count, scalars[position + 1] != "]" else { return nil }
        let dash = position
        position += 1
        guard let high = try classItem(from: start).singleScalar else {
            throw Failure("invalid character class range: \(string(dash - 1..<position))")
        }
        return high
    }
}

extension LinearPattern.CharacterSet {
    /// nil where the set is not one character.
    fileprivate var singleScalar: UInt32? {
        guard !isNegated, ranges.count == 1, let range = ranges.first, range.count == 1 else { return nil }
        return range.lowerBound
    }
}
