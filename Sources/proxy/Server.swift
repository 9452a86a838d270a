import Glibc
import ProxyConfig
import ProxyCore
import ProxyModel
import ProxyRestart

/// Runs one generation, or one of the modes that serve nothing.
enum Server {
    /// What `--hot-restart-version` prints.
    static let protocolVersion = Protocol.newest
    static let capabilities = Capabilities.all.rawValue

    /// `arguments` with the program's name. Returns the exit code.
    static func run(_ options: ServerOptions, arguments: [String]) -> Int32 {
        let beganNs = System.monotonicNs
        _ = System.raiseDescriptorLimit()
        switch options.mode {
        case .validate: return validate(options)
        case .initOnly, .serve: break
        }
        let supervisor = SupervisorChannel()
        do {
            let generation = try start(options, arguments, supervisor, beganNs)
            return options.mode == .initOnly ? generation.initializeOnly() : generation.run()
        } catch {
            writeAll(error.text, to: STDERR_FILENO)
            supervisor.tell(.failed(.init(step: error.step, id: error.id, text: error.message, remedy: error.remedy)))
            return error.exitCode
        }
    }

    private static func start(
        _ options: ServerOptions, _ arguments: [String], _ supervisor: SupervisorChannel, _ beganNs: UInt64
    ) throws(StartFailure) -> Generation {
        let loop: MainLoop
        do {
            loop = try MainLoop()
            // Before any other thread exists: all of them inherit the mask.
            try loop.watchSignals([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD])
        } catch {
            throw StartFailure(.loop(error))
        }
        loop.handler = { event in
            if case .signal(let number, _) = event, number == SIGTERM || number == SIGINT { Glibc.exit(0) }
        }
        var options = options
        var control: ControlSocket?
        if options.useDynamicBaseID, !options.disableHotRestart { control = try DynamicBaseID.choose(&options) }
        var serving: ProxyStatus?
        // With a keeper nobody serves, and its copy of the control socket would keep us waiting for an answer.
        let looksAround = !options.disableHotRestart && control == nil && !supervisor.hasKeeper
        if looksAround, options.mode == .serve {
            switch Survey.ask(options.controlSocketName, loop: loop, isSupervised: supervisor.isConnected) {
            case .nobody: break
            case .serving(let status): serving = status
            case .failed(let failure): throw StartFailure(failure)
            }
        }
        let epoch =
            options.disableHotRestart
            ? 0
            : try StartUpSteps.epoch(
                options, serving: serving, name: options.controlSocketName, hasKeeper: supervisor.hasKeeper)
        let (log, file) = try StartUpSteps.openLog(options, epoch: epoch)
        var source = StartUpSteps.source(options, serving: serving)
        if let path = source.path { source.path = StartUpSteps.absolute(path) }
        let shown = ConfigSource(path: options.configPath ?? source.path, yaml: source.yaml)
        let configuration = try StartUpSteps.load(shown, options)
        let startUp = StartUp(
            options: options, arguments: Array(arguments.dropFirst()), executable: StartUpSteps.executable, log: log, logFile: file,
            beganNs: beganNs, beganUnixMs: System.unixMs, epoch: epoch, parentWasSeen: serving != nil, source: source,
            configuration: configuration, supervisor: supervisor)
        return Generation(startUp, loop: loop, boundControl: control)
    }

    /// `--mode validate`: everything that serving would do, except bind, connect, resolve names and create files.
    private static func validate(_ options: ServerOptions) -> Int32 {
        let source = StartUpSteps.source(options, serving: nil)
        do {
            try check(options, source)
        } catch {
            writeAll(error.text, to: STDERR_FILENO)
            return error.exitCode
        }
        writeAll("configuration '\(StartUp.name(of: source))' OK\n", to: STDOUT_FILENO)
        return 0
    }

    private static func check(_ options: ServerOptions, _ source: ConfigSource) throws(StartFailure) {
        let loaded = try StartUpSteps.load(source, options)
        if !loaded.warnings.isEmpty { writeAll(render(loaded.warnings), to: STDERR_FILENO) }
        for warning in options.warnings { writeAll("warning: \(warning)\n", to: STDERR_FILENO) }
        if let problem = LogFile.problem(creating: options.logPath) { throw StartFailure(problem) }
        do {
            let plan = try Plan(loaded.configuration)
            try plan.check()
        } catch {
            throw StartFailure(.listen(error))
        }
    }
}

/// `--use-dynamic-base-id`: a base id whose control name nobody holds.
enum DynamicBaseID {
    static let tries = 100

    /// Binds the control name of the id it finds, sets it in `options`, and writes `--base-id-path`.
    static func choose(_ options: inout ServerOptions) throws(StartFailure) -> ControlSocket {
        for _ in 0..<tries {
            options.baseID = UInt32.random(in: 1...UInt32.max / 10)
            do {
                let socket = try ControlSocket.bind(options.controlSocketName, mode: options.socketMode)
                try write(options)
                return socket
            } catch let error as CoreError {
                guard error.isNameInUse else { throw StartFailure(.controlSocket(error, name: options.controlSocketName)) }
            } catch let error as StartFailure {
                throw error
            } catch {
                preconditionFailure("\(error)")
            }
        }
        let error = CoreError(code: -98, call: "bind", text: "\(tries) base ids were tried")
        throw StartFailure(.controlSocket(error, name: options.controlSocketName))
    }

    private static func write(_ options: ServerOptions) throws(StartFailure) {
        guard let path = options.baseIDPath else { return }
        if let reason = writeFile(path, "\(options.baseID)") { throw StartFailure(.file("the base id", path, reason)) }
    }
}

/// Replace the file's content by rename, so that a reader sees all of it or the old one. Returns why not, or nil.
func writeFile(_ path: String, _ text: String) -> String? {
    let temporary = "\(path).\(getpid()).new"
    let fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard fd >= 0 else { return String(cString: strerror(errno)) }
    writeAll(text, to: fd)
    close(fd)
    guard rename(temporary, path) == 0 else {
        let reason = String(cString: strerror(errno))
        unlink(temporary)
        return reason
    }
    return nil
}
