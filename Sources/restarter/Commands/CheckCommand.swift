import ArgumentParser
import Glibc
import ProxyCore

struct CheckCommand: Command {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check a configuration with the proxy's program: `proxy --mode validate`.",
        discussion: "Prints the proxy's diagnostics and exits as it does: 0 valid, 1 invalid.")

    @Argument(help: ArgumentHelp("Configuration file, YAML or JSON.", valueName: "file")) var file: String
    @Option(help: ArgumentHelp("The proxy's program. (default: beside the restarter)", valueName: "path")) var proxy: String?
    @Argument(parsing: .postTerminator, help: ArgumentHelp("Further options for the proxy, after --.", valueName: "proxy options"))
    var options: [String] = []

    func execute() throws -> ExitStatus {
        let program = try Programs.proxy(named: proxy)
        var arguments = ProxyArguments(options)
        arguments.setConfigPath(file)
        var code: Int32 = 1
        let session = try Session()
        _ = try session.run { session in
            do {
                _ = try session.children.start(program, arguments: arguments.checking, environment: Environment.current.withoutOwn) {
                    ending in
                    if case .exited(let number) = ending { code = number }
                    session.finish(.done)
                }
            } catch {
                Console().error("cannot run \(program): \(error)")
                session.finish(.failed)
            }
        }
        if code != 0 { throw ExitCode(code) }
        return .done
    }
}
