import ArgumentParser
import ProxyCore

/// Which proxy is meant, and how to speak.
struct InstanceOptions: ParsableArguments {
    @Option(name: .customLong("base-id"), help: ArgumentHelp("The proxy's --base-id.", valueName: "id"))
    var baseID: UInt32 = 0

    @Option(help: ArgumentHelp("The proxy's --socket-path.", valueName: "path"))
    var socketPath = ControlNames.defaultSocketPath

    @OptionGroup var output: OutputOptions

    var names: ControlNames { ControlNames(socketPath: socketPath, baseID: baseID) }

    var nobodyRuns: Failure {
        Failure(
            "no proxy runs under base id \(baseID) at \(socketPath)",
            remedy: "Start one with `restarter start --config-path FILE`, or name it with --base-id and --socket-path.", status: .notRunning
        )
    }
}

struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON, one object per line.") var json = false
    @Flag(name: .shortAndLong, help: "Print errors only.") var quiet = false

    var console: Console { Console(quiet: quiet) }
}

/// A command whose `execute` returns an exit code; failures are printed with their remedy.
protocol Command: ParsableCommand {
    func execute() throws -> ExitStatus
}

extension Command {
    func run() throws {
        let status: ExitStatus
        do {
            status = try execute()
        } catch let failure as Failure {
            Console().error(failure.text)
            throw ExitCode(failure.status.rawValue)
        } catch let error as CoreError {
            Console().error("\(error)")
            throw ExitCode(ExitStatus.failed.rawValue)
        }
        if status != .done { throw ExitCode(status.rawValue) }
    }
}
