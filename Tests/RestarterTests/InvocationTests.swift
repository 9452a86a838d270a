import ProxyModel
import Testing

@testable import restarter

@Suite("Command line")
struct InvocationTests {
    @Test func nothingIsBare() { #expect(Invocation([]) == .bare) }

    @Test func afterTheTerminatorComesAScript() {
        #expect(Invocation(["--", "./run.sh", "--", "-x"]) == .script(["./run.sh", "--", "-x"]))
        #expect(Invocation(["--"]) == .script([]))
    }

    @Test(arguments: [
        ("restrat", "restart"), ("staus", "status"), ("sart", "start"), ("restar", "restart"), ("stpo", "stop"), ("chekc", "check"),
        ("statsu", "status"),
    ])
    func aMistypedCommandGetsASuggestion(_ word: String, _ meant: String) {
        #expect(Invocation([word]) == .unknownCommand(word, suggestion: meant))
    }

    @Test func aStrangeWordGetsNone() { #expect(Invocation(["xyzzy"]) == .unknownCommand("xyzzy", suggestion: nil)) }

    @Test func editDistanceCountsASwapOnce() {
        #expect(Invocation.editDistance(Array("ab".utf8), Array("ba".utf8)) == 1)
        #expect(Invocation.editDistance(Array("".utf8), Array("abc".utf8)) == 3)
        #expect(Invocation.editDistance(Array("kitten".utf8), Array("sitting".utf8)) == 3)
    }

    @Test func startKeepsItsOwnOptionsAndPassesTheOthersInOrder() {
        let arguments = StartArguments([
            "-c", "a.yaml", "--detach", "--concurrency=2", "--proxy", "/opt/proxy", "--init-timeout-s=5", "--base-id", "7", "-q",
        ])
        #expect(arguments.own == ["--detach", "--proxy", "/opt/proxy", "--init-timeout-s=5", "-q"])
        #expect(arguments.passed == ["-c", "a.yaml", "--concurrency=2", "--base-id", "7"])
    }

    @Test func valuesThatLookLikeOptionsStayValues() {
        let arguments = StartArguments(["--config-yaml", "--detach", "--detach"])
        #expect(arguments.own == ["--detach"])
        #expect(arguments.passed == ["--config-yaml", "--detach"])
    }

    @Test func everythingAfterTheTerminatorIsTheProxys() {
        let arguments = StartArguments(["--detach", "--", "--detach", "--proxy", "x"])
        #expect(arguments.own == ["--detach"])
        #expect(arguments.passed == ["--detach", "--proxy", "x"])
    }

    @Test func helpIsTheRestarters() { #expect(Invocation(["start", "--help"]) == .command(["start", "--help", "--"])) }
}

@Suite("The proxy's command line")
struct ProxyArgumentsTests {
    @Test func namesDependOnBothForms() throws {
        let separate = ProxyArguments(["--base-id", "7", "--socket-path", "/run/p.sock", "--socket-mode", "660"])
        let joined = ProxyArguments(["--base-id=7", "--socket-path=/run/p.sock", "--socket-mode=660"])
        for arguments in [separate, joined] {
            #expect(try arguments.baseID() == 7)
            #expect(arguments.socketPath == "/run/p.sock")
            #expect(try arguments.socketMode() == 0o660)
        }
        #expect(ProxyArguments([]).socketPath == "@proxy_domain_socket")
    }

    @Test(arguments: [["--base-id", "x"], ["--base-id=-1"], ["--socket-mode", "9"], ["--socket-mode=7777"]])
    func nonsenseIsAUsageError(_ words: [String]) {
        let error = #expect(throws: Failure.self) {
            _ = try ProxyArguments(words).baseID()
            _ = try ProxyArguments(words).socketMode()
        }
        #expect(error?.status == .usage)
        #expect(error?.remedy.isEmpty == false)
    }

    @Test func theRestarterCountsEpochs() {
        let arguments = ProxyArguments(["-c", "a.yaml", "--restart-epoch", "9", "-l", "debug"])
        #expect(arguments.words == ["-c", "a.yaml", "-l", "debug"])
        #expect(arguments.starting(epoch: 3) == ["-c", "a.yaml", "-l", "debug", "--restart-epoch=3"])
        #expect(arguments.starting(epoch: nil) == ["-c", "a.yaml", "-l", "debug", "--restart-epoch"])
    }

    @Test func withoutHotRestartThereAreNoEpochs() {
        #expect(ProxyArguments(["--disable-hot-restart", "-c", "a"]).starting(epoch: 0) == ["--disable-hot-restart", "-c", "a"])
    }

    @Test func theCheckIsTheSameCommandLine() {
        #expect(
            ProxyArguments(["-c", "a.yaml", "--mode", "serve", "--concurrency", "2"]).checking == [
                "-c", "a.yaml", "--mode=validate", "--concurrency", "2",
            ])
        #expect(ProxyArguments(["-c", "a.yaml"]).checking == ["-c", "a.yaml", "--mode=validate"])
    }

    @Test func anotherFileTakesTheOldOnesPlace() {
        var arguments = ProxyArguments(["--config-yaml", "{}", "-c", "a.yaml", "-l", "debug"])
        arguments.setConfigPath("/b.yaml")
        #expect(arguments.words == ["--config-path=/b.yaml", "-l", "debug"])
    }

    @Test func withoutAConfigurationTheServingOnesIsChecked() {
        var serving = ProxyStatus()
        serving.configPath = "/a.yaml"
        var arguments = ProxyArguments(["-l", "debug"])
        arguments.adoptConfiguration(of: serving)
        #expect(arguments.configPath == "/a.yaml")
        var given = ProxyArguments(["-c", "mine.yaml"])
        given.adoptConfiguration(of: serving)
        #expect(given.configPath == "mine.yaml")
    }

    @Test func aDynamicBaseIDIsFixedForTheGenerationsToCome() {
        var arguments = ProxyArguments(["--use-dynamic-base-id", "--base-id-path", "id"])
        #expect(arguments.wantsDynamicBaseID)
        arguments.fixBaseID(42)
        #expect(!arguments.wantsDynamicBaseID)
        #expect(arguments.words == ["--base-id-path", "id", "--base-id=42"])
    }
}
