import ProxyCore
import ProxyRestart

// Failures that come from the system rather than from the restart machine. The texts begin with the words that operators search for.

extension RestartFailure {
    static func sharedMemory(_ error: CoreError) -> RestartFailure {
        RestartFailure(
            step: "shared memory", id: "PX-R020", message: "unable to initialize shared memory region: \(error)",
            remedy: "Give the process more memory (cgroup limit, ulimit -v, -f and -n), or start it with fewer --concurrency workers.")
    }

    static func controlSocket(_ error: CoreError, name: String) -> RestartFailure {
        var message = "unable to open socket for hot restart: \(name): \(error)"
        if error.errno == 24 || error.errno == 23 {
            let usage = System.descriptorUsage
            message += "; descriptor limit \(usage.limit), in use \(usage.used)"
        }
        return RestartFailure(
            step: "control socket", id: "PX-R021", message: message,
            remedy: error.isNameInUse
                ? "End the process that holds the name, or give this proxy a --base-id or --socket-path of its own."
                : "See that the directory of --socket-path exists and is writable and that ulimit -n leaves room, or start with "
                    + "--disable-hot-restart.")
    }

    static func strangerServes(_ peer: Link.Peer, name: String) -> RestartFailure {
        RestartFailure(
            step: "control socket", id: "PX-R022",
            message: "unable to open socket for hot restart: \(name) is held by pid \(peer.pid) of another user (\(peer.uid))",
            remedy: "Start as that user, or give this proxy a --base-id or --socket-path of its own.")
    }

    static func noParent(_ epoch: UInt64, name: String) -> RestartFailure {
        RestartFailure(
            step: "hello", id: "PX-R023", message: "nothing serves on \(name), so --restart-epoch \(epoch) has nobody to take over from",
            remedy: "Give --restart-epoch without a number (0 if nothing serves), or --skip-hot-restart-on-no-parent to start cold with it."
        )
    }

    static func alreadyServing(_ epoch: UInt64, pid: Int32) -> RestartFailure {
        RestartFailure(
            step: "hello", id: "PX-R024", message: "pid \(pid) serves already, with epoch \(epoch)",
            remedy: "To replace it give --restart-epoch; to run beside it give --base-id a number of its own.")
    }

    static func incompatible(_ refusal: RestartRefusal) -> RestartFailure {
        RestartFailure(
            step: "hello", id: "PX-R025", message: refusal.text,
            remedy: "Upgrade the side that lacks it; to replace the serving generation without a hot restart, stop it and start again "
                + "(or run with --disable-hot-restart).")
    }

    static func refused(_ refusal: RestartRefusal, epoch: UInt64, serving: UInt64?) -> RestartFailure {
        switch refusal.reason {
        case .busy: .busy
        case .notServing, .stopping: .notServing
        case .epochNotAbove: serving.map { .epochNotAbove(epoch, serving: $0) } ?? .malformedMessage(refusal.text)
        case .version, .capabilities: .incompatible(refusal)
        case .malformed, .internalError: .malformedMessage(refusal.text)
        }
    }

    static func malformedMessage(_ text: String) -> RestartFailure {
        RestartFailure(
            step: "hello", id: "PX-R026", message: "the two generations do not understand each other: \(text)",
            remedy: "The serving generation goes on. See both logs; if the versions differ, compare `proxy --hot-restart-version` of both.")
    }

    static func inheritance(_ text: String) -> RestartFailure {
        RestartFailure(
            step: "inherit", id: "PX-R027", message: "the listening sockets did not come over: \(text)",
            remedy: "See that ulimit -n of the new generation is not below that of the serving one, and that it is this proxy that serves "
                + "there (`restarter status`); nothing has changed.")
    }

    static func listen(_ error: CoreError) -> RestartFailure {
        RestartFailure(
            step: "open listeners", id: "PX-R028", message: "cannot open a listener: \(error)",
            remedy: "Free the address or change the configuration (`proxy --mode validate -c FILE` checks it).")
    }

    static func admin(_ error: CoreError, address: String) -> RestartFailure {
        RestartFailure(
            step: "open admin", id: "PX-R029", message: "cannot open the admin server on \(address): \(error)",
            remedy: "Free the address, or change admin.address in the configuration.")
    }

    static func engine(_ error: CoreError) -> RestartFailure {
        RestartFailure(
            step: "start workers", id: "PX-R030", message: "cannot start the workers: \(error)",
            remedy: "See that limits on processes, memory and descriptors (ulimit -u -v -n) leave room.")
    }

    static func file(_ what: String, _ path: String, _ reason: String) -> RestartFailure {
        RestartFailure(
            step: "files", id: "PX-R031", message: "cannot write \(what) to '\(path)': \(reason)",
            remedy: "Give a path in a directory that exists and that this user may write to.")
    }

    static func invalidConfiguration(_ source: String) -> RestartFailure {
        RestartFailure(
            step: "check", id: "PX-R032", message: "the configuration \(source) is invalid",
            remedy: "Correct it; `proxy --mode validate -c FILE` shows every finding. Whoever served before goes on.")
    }

    static func loop(_ error: CoreError) -> RestartFailure {
        RestartFailure(
            step: "start", id: "PX-R033", message: "cannot start: \(error)",
            remedy: "See that limits on descriptors and memory (ulimit -n -v) leave room.")
    }

    /// For stderr, when there is no log yet.
    var text: String { "error: \(step): \(message)  [\(id)]\n  \(remedy)\n" }
}
