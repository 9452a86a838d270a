import ProxyModel

/// What a command line asks for, before any parser of options has seen it.
enum Invocation: Equatable {
    /// No arguments: status if a proxy runs, else help.
    case bare
    /// `restarter -- SCRIPT [arguments]`.
    case script([String])
    /// Words for the argument parser.
    case command([String])
    case unknownCommand(String, suggestion: String?)

    static let commands = ["start", "restart", "status", "stop", "drain", "check", "explain", "help"]

    init(_ arguments: [String]) {
        guard let first = arguments.first else {
            self = .bare
            return
        }
        if first == "--" {
            self = .script(Array(arguments.dropFirst()))
        } else if first == "start" {
            self = .command(["start"] + StartArguments(Array(arguments.dropFirst())).words)
        } else if first.hasPrefix("-") || Self.commands.contains(first) {
            self = .command(arguments)
        } else {
            self = .unknownCommand(first, suggestion: Self.nearest(to: first))
        }
    }

    /// The command that is one slip of the finger away, or two for long words.
    static func nearest(to word: String) -> String? {
        let ranked = commands.map { ($0, editDistance(Array(word.utf8), Array($0.utf8))) }
        guard let best = ranked.min(by: { $0.1 < $1.1 }), best.1 <= max(1, best.0.count / 3) else { return nil }
        return best.0
    }

    /// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours count one each.
    static func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var rows = [Array(0...b.count)]
        for i in 1..<(a.count + 1) {
            var row = [i]
            for j in 1..<(b.count + 1) {
                var best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { best = min(best, rows[i - 2][j - 2] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}

/// The arguments of `start`, told apart: the restarter's own, and those that pass to the proxy untouched, in their order.
struct StartArguments: Equatable {
    private static let flags: Set<String> = ["--detach", "--quiet", "-q", "--json", "--help"]
    private static let valued: Set<String> = ["--proxy", "--init-timeout-s"]

    var own: [String] = []
    var passed: [String] = []

    init(_ arguments: [String]) {
        let split = arguments.firstIndex(of: "--") ?? arguments.endIndex
        for item in ArgumentList(Array(arguments[..<split])).items { sort(item) }
        passed += arguments[split...].dropFirst()
    }

    private mutating func sort(_ item: ArgumentList.Item) {
        let mine = Self.flags.contains(item.name) ? 1 : Self.valued.contains(item.name) ? (item.inlineValue == nil ? 2 : 1) : 0
        own += item.words.prefix(mine)
        passed += item.words.dropFirst(mine)
    }

    /// For the parser, which takes what follows the terminator as it is.
    var words: [String] { own + ["--"] + passed }
}
