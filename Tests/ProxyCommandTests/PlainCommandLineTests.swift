import ProxyModel
import Testing

@testable import proxy

/// A command line read without the argument parser must mean what it means to the parser, or be left to it.
struct PlainCommandLineTests {
    private func parsed(_ arguments: [String]) -> GivenOptions? {
        (try? ProxyCommand.parse(ArgumentList(arguments).unambiguousArguments))?.given
    }

    private func plain(_ arguments: [String]) -> GivenOptions? {
        let list = ArgumentList(arguments)
        guard (try? ProxyCommand.checkForm(list)) != nil else { return nil }
        return GivenOptions(plain: list)
    }

    private static let valued = OptionTests.valued.map { [$0.option, $0.value] }
    private static let inline = OptionTests.valued.map { ["\($0.option)=\($0.value)"] }
    private static let flags = OptionTests.flags.map { [$0.option] } + [["--restart-epoch"], ["--hot-restart-version"]]

    @Test("every option is read without the parser, and as the parser reads it", arguments: valued + inline + flags)
    func everyOption(arguments: [String]) throws {
        let given = try #require(plain(arguments))
        #expect(given == parsed(arguments) && given != GivenOptions.defaults)
    }

    @Test("the help names no option that needs the parser but --help and --version")
    func complete() {
        let help = ProxyCommand.helpMessage(columns: 100)
        let names = Set(help.split(whereSeparator: { " ,./\n\"'`[]()<>=".contains($0) }).filter { $0.hasPrefix("--") }.map(String.init))
        let known = Set((Self.valued + Self.flags).map { $0[0] })
        #expect(names.subtracting(known) == ["--help", "--version", "--opt"])  // the last is an example of the form
    }

    @Test("what the parser refuses, prints or reads in another way is left to it")
    func leftToTheParser() {
        for arguments in [
            ["--help"], ["-h"], ["--version"], ["--nonsense"], ["-x"], ["-cfile"], ["--"], ["-"], ["word"], ["-c"], ["-c", "a", "b"],
            ["--base-id", "-1"], ["--base-id", "x"], ["--base-id", "4294967296"], ["--concurrency", "1.5"], ["--restart-epoch", "1", "2"],
            ["--cpuset-threads=1"], ["--cpuset-threads", "true"], ["--disable-extensions"], ["--enable-core-dump", "x"],
            ["--mod", "serve"],
        ] { #expect(plain(arguments) == nil, "\(arguments)") }
    }

    @Test("random command lines: never another meaning than the parser's")
    func random() {
        var generator = SplitMix(state: 20_261_125)
        let odd = [
            "", "-", "--", "=", "-c=", "-c=x", "-l=debug", "x=y", "0", "+1", "-1", "007", " 1", "1 ", "0x10", "٣", "18446744073709551615",
            "é", "--base-id=", "--base-id==1", "--config-yaml", "--log-format", "---", "a\nb", "--mode=serve=x", "--restart-epoch=+1",
        ]
        let words = (Self.valued + Self.flags).flatMap { $0 } + Self.inline.flatMap { $0 } + odd
        var taken = 0
        for _ in 0..<300 {
            let arguments = (0..<Int.random(in: 1...3, using: &generator)).map { _ in words.randomElement(using: &generator)! }
            guard let given = plain(arguments) else { continue }
            taken += 1
            #expect(given == parsed(arguments), "\(arguments)")
        }
        #expect(taken > 50, "only \(taken) were read without the parser")
    }
}

private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
