import Glibc
import ProxyConfig
import ProxyCore
import ProxyModel
import ProxyRestart

/// What is known before a generation says a word to another: options, log, who serves, the epoch to be, the configuration.
struct StartUp {
    var options: ServerOptions
    /// Without the program's name.
    var arguments: [String]
    /// The program's path on disk, which may hold a newer version by the time it is started again.
    var executable: String
    var log: LogSystem
    var logFile: LogFile
    var beganNs: UInt64
    var beganUnixMs: UInt64
    var epoch: UInt64
    /// Somebody served when we looked.
    var parentWasSeen: Bool
    /// As given, or the serving generation's.
    var source: ConfigSource
    var configuration: LoadedConfiguration
    var supervisor: SupervisorChannel

    /// Names the configuration in messages.
    static func name(of source: ConfigSource) -> String {
        source.path ?? (source.yaml == embeddedDefaultConfiguration ? "(embedded default)" : "--config-yaml")
    }
}

/// Why a start ended before there was a generation.
struct StartFailure: Error {
    /// Printed on stderr as it is.
    var text: String
    var exitCode: Int32
    var step: String
    var id: String?
    var message: String
    var remedy: String?
}

extension StartFailure {
    init(_ failure: RestartFailure) {
        self.init(
            text: failure.text, exitCode: failure.exitCode, step: failure.step, id: failure.id, message: failure.message,
            remedy: failure.remedy)
    }
}

enum StartUpSteps {
    /// Raise the descriptor limit, open the log.
    static func openLog(_ options: ServerOptions, epoch: UInt64) throws(StartFailure) -> (LogSystem, LogFile) {
        let file: LogFile
        do {
            file = try LogFile(path: options.logPath)
        } catch {
            throw StartFailure(
                text: error.error.text, exitCode: 1, step: "files", id: error.error.id, message: error.error.message,
                remedy: error.error.remedy)
        }
        if options.logPath != nil { _ = SharedFile.endPartialLine(file.descriptor) }
        let fd = file.descriptor
        let log = LogSystem(options, identity: LogIdentity(epoch: epoch, pid: getpid())) { bytes in
            SharedFile.write(bytes, to: fd, block: nil, lock: .log, timeoutMs: 100) == 0
        }
        CoreLog.setLevel(UInt32(log.lowestLevel.rawValue))
        return (log, file)
    }

    /// The epoch to be, given who serves. Whatever is wrong with the wish is said here, before the configuration is looked at.
    static func epoch(
        _ options: ServerOptions, serving: ProxyStatus?, name: String, hasKeeper: Bool
    ) throws(StartFailure) -> UInt64 {
        switch (options.restartEpoch, serving) {
        case (.unspecified, nil), (.next, nil): return 0
        case (.unspecified, let serving?): throw StartFailure(.alreadyServing(serving.epoch, pid: serving.pid))
        case (.next, let serving?): return serving.epoch &+ 1
        case (.number(let number), let serving?):
            guard number > serving.epoch else { throw StartFailure(.epochNotAbove(number, serving: serving.epoch)) }
            return number
        case (.number(let number), nil):
            guard number == 0 || options.skipOnNoParent || hasKeeper else { throw StartFailure(.noParent(number, name: name)) }
            return number
        }
    }

    /// Where the configuration comes from: given, or the serving generation's, or the embedded default.
    static func source(_ options: ServerOptions, serving: ProxyStatus?) -> ConfigSource {
        if options.configPath != nil || options.configYAML != nil {
            return ConfigSource(path: options.configPath, yaml: options.configYAML)
        }
        if let serving, serving.configPath != nil || serving.configYAML != nil {
            return ConfigSource(path: serving.configPath, yaml: serving.configYAML)
        }
        return ConfigSource(yaml: embeddedDefaultConfiguration)
    }

    /// Read and check all of the configuration. Warnings go to stderr in validate mode, else to the log.
    static func load(_ source: ConfigSource, _ options: ServerOptions) throws(StartFailure) -> LoadedConfiguration {
        do {
            var loaded = try loadConfiguration(
                source, options: ConfigOptions(allowUnknownStaticFields: options.allowUnknownStaticFields))
            applyIdentity(options, to: &loaded.configuration.node)
            return loaded
        } catch {
            let failure = RestartFailure.invalidConfiguration("'\(StartUp.name(of: source))'")
            throw StartFailure(
                text: render(error.diagnostics), exitCode: 1, step: failure.step, id: failure.id, message: failure.message,
                remedy: failure.remedy)
        }
    }

    private static func applyIdentity(_ options: ServerOptions, to node: inout Node) {
        if let id = options.serviceNode { node.id = id }
        if let cluster = options.serviceCluster { node.cluster = cluster }
        if let zone = options.serviceZone { node.zone = zone }
    }

    /// A path that means the same from any directory.
    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let directory = getcwd(nil, 0) else { return path }
        defer { free(directory) }
        return "\(String(cString: directory))/\(path)"
    }

    static var executable: String {
        var room = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &room, room.count)
        guard length > 0 else { return CommandLine.arguments[0] }
        let path = String(decoding: room.prefix(length), as: UTF8.self)
        // A file that was replaced while we run is shown so; the name is the new one's now.
        return path.hasSuffix(" (deleted)") ? String(path.dropLast(10)) : path
    }
}
