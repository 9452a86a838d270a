import ArgumentParser
import Glibc
import ProxyCore
import ProxyModel

/// `restarter`: the operator's tool.
@main
enum Program {
    static func main() {
        switch Invocation(Array(CommandLine.arguments.dropFirst())) {
        case .bare: bare()
        case .script(let words): script(words)
        case .command(let words): RestarterCommand.main(words)
        case .unknownCommand(let word, let suggestion):
            let hint = suggestion.map { "did you mean '\($0)'?" } ?? "commands: \(Invocation.commands.joined(separator: ", "))"
            Console().error("unknown command '\(word)'; \(hint)")
            exit(ExitStatus.usage.rawValue)
        }
    }

    /// The useful thing to say without being asked: what runs, or else what can be done.
    private static func bare() {
        var runs = false
        if let session = try? Session() {
            _ = try? session.run { session in
                Instance.ask(ControlNames(), loop: session.loop) { found in
                    if case .nobody = found.proxy, case .nobody = found.supervisor { runs = false } else { runs = true }
                    session.finish(.done)
                }
            }
        }
        RestarterCommand.main(runs ? ["status"] : ["help"])
    }

    private static func script(_ words: [String]) {
        guard !words.isEmpty else {
            Console().error("no script named\n  Usage: restarter -- SCRIPT [arguments]")
            exit(ExitStatus.usage.rawValue)
        }
        do {
            exit(try ScriptSupervisor(words, environment: .current).run())
        } catch {
            Console().error("\(error)")
            exit(ExitStatus.failed.rawValue)
        }
    }
}

struct RestarterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restarter",
        abstract: "Starts, restarts and watches the proxy.",
        usage: "restarter <command> [options]\nrestarter -- <script> [arguments]",
        discussion: """
            Without a command: status if a proxy runs, else this help. After -- it runs a start script as Envoy's hot-restarter.py does: \
            with RESTART_EPOCH in its environment, and again on every SIGHUP.

            Exit codes: 0 done, 1 failed or invalid, 64 bad command line, 69 no running instance, 75 a restart is in progress.
            """,
        version: ProductVersion.text(program: "restarter"),
        subcommands: [
            StartCommand.self, RestartCommand.self, StatusCommand.self, StopCommand.self, DrainCommand.self, CheckCommand.self,
            ExplainCommand.self,
        ])
}
