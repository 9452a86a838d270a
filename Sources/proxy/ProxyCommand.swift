import ArgumentParser
import Glibc
import ProxyModel

/// `proxy`: the server. Reads the command line, prints what is only to be printed, and otherwise runs a generation.
///
/// Exit codes: 0 done; 1 failed (configuration, sockets, restart); 64 the command line itself. Envoy exits 1 for that last kind too.
@main
struct ProxyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxy",
        abstract: "TCP proxy that is replaced by its next generation without refusing or cutting a connection.",
        usage: "proxy [-c <file>] [--restart-epoch [<epoch>]] [options]",
        discussion: """
            Without -c or --config-yaml it takes the configuration of the generation that serves or, if none does, an embedded one: \
            an echo listener on 127.0.0.1:10000 and the admin server on 127.0.0.1:9901. Options may be written --opt value or --opt=value.

            Signals: TERM and INT stop, USR1 reopens log files, HUP starts the next generation (with --restart-on-hup).
            Exit codes: 0 done, 1 failed, 64 bad command line.
            """)

    @OptionGroup(title: "Configuration") var source: ConfigurationArguments
    @OptionGroup(title: "Hot restart") var restart: RestartArguments
    @OptionGroup(title: "Draining") var drain: DrainArguments
    @OptionGroup(title: "Workers") var workers: WorkerArguments
    @OptionGroup(title: "Logging") var log: LogArguments
    @OptionGroup(title: "Admin and identity") var identity: IdentityArguments
    @OptionGroup(title: "Accepted from Envoy's command line, without effect") var ignored: IgnoredArguments
    @Flag(help: "Print the version and exit.") var version = false

    static func main() {
        let arguments = CommandLine.arguments
        switch read(Array(arguments.dropFirst())) {
        case .run(let options):
            Glibc.exit(Server.run(options, arguments: arguments))
        case .print(let text):
            writeAll(text, to: STDOUT_FILENO)
            Glibc.exit(0)
        case .refuse(let error):
            writeAll(error.text, to: STDERR_FILENO)
            Glibc.exit(EX_USAGE)
        }
    }

    /// What the parser has read.
    var given: GivenOptions {
        var given = GivenOptions()
        source.note(in: &given)
        restart.note(in: &given)
        drain.note(in: &given)
        workers.note(in: &given)
        log.note(in: &given)
        identity.note(in: &given)
        ignored.note(in: &given)
        return given
    }

    enum Outcome {
        case run(ServerOptions)
        case print(String)
        case refuse(OptionError)
    }

    /// What `arguments` (without the program's name) ask for.
    static func read(_ arguments: [String]) -> Outcome {
        do {
            let list = ArgumentList(arguments)
            try checkForm(list)
            let given: GivenOptions
            if let plain = GivenOptions(plain: list) {
                given = plain
            } else {
                let command: ProxyCommand
                do {
                    command = try ProxyCommand.parse(list.unambiguousArguments)
                } catch  where exitCode(for: error).isSuccess {
                    return .print(fullMessage(for: error) + "\n")
                } catch {
                    throw OptionError(id: "PX-U001", message: message(for: error), remedy: "`proxy --help` lists all options.")
                }
                if command.version { return .print(ProductVersion.text(program: CommandLine.arguments.first ?? "proxy")) }
                given = command.given
            }
            let options = try ServerOptions(given)
            if options.printHotRestartVersion {
                return .print(hotRestartVersion(capabilities: Server.capabilities, disabled: options.disableHotRestart) + "\n")
            }
            return .run(options)
        } catch let error as OptionError {
            return .refuse(error)
        } catch {
            return .refuse(OptionError(id: "PX-U001", message: "\(error)", remedy: "`proxy --help` lists all options."))
        }
    }

    /// What the parser would let pass: an option given twice (it takes the last) and `--opt=` (it takes that for no value).
    static func checkForm(_ list: ArgumentList) throws(OptionError) {
        var seen: [String: ArgumentList.Item] = [:]
        for item in list.items where item.name.hasPrefix("-") {
            if item.inlineValue == "" { throw .emptyValue(item.name) }
            if let first = seen[item.name], item.name != "--stats-tag" { throw .givenTwice(first, item) }
            seen[item.name] = item
        }
        try checkEpoch(list)
    }

    /// A value that begins with a dash or a plus is no epoch either. Nor is the highest number: it could have no next one.
    private static func checkEpoch(_ list: ArgumentList) throws(OptionError) {
        guard let place = list.items.firstIndex(where: { $0.name == "--restart-epoch" }) else { return }
        if let value = list.items[place].value {
            guard value.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(value), number < .max else {
                throw .badEpoch(value)
            }
        } else if let next = list.items.dropFirst(place + 1).first, let digit = next.name.dropFirst().first, digit.isWholeNumber {
            throw .badEpoch(next.words[0])
        }
    }
}

/// `<protocol version>.<capability flags in hex>`: two programs with the same text can restart into each other.
func hotRestartVersion(capabilities: UInt64, disabled: Bool) -> String {
    disabled ? "disabled" : "\(Server.protocolVersion).\(String(capabilities, radix: 16))"
}

/// Write all of `text`, or as much as the other side takes.
func writeAll(_ text: String, to fd: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let written = bytes.withUnsafeBytes { write(fd, $0.baseAddress, $0.count) }
        if written < 0, errno == EINTR { continue }
        guard written > 0 else { return }
        bytes = bytes.dropFirst(written)
    }
}
