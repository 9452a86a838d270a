import Glibc
import ProxyCore
import ProxyModel

/// A generation this process started: the process, and the channel on which it tells how it is getting on.
final class GenerationProcess {
    enum Report {
        case event(SupervisionEvent)
        /// Of another kind than events, for whoever keeps descriptors.
        case message(ReceivedPacket)
        case ended(Processes.Ending)
    }

    private static let channelNumber: Int32 = 3
    private static let keeperNumber: Int32 = 4

    let process: SpawnedProcess
    var pid: Int32 { process.pid }
    private let loop: MainLoop
    private let link: Link
    private let report: (Int32, Report) -> Void

    /// `output`: where its standard output and error go; nil: where ours go. `kept`: what it inherits of a dead generation. `report` is called from the loop, `.ended` last.
    static func start(
        program: String, arguments: [String], environment: Environment, output: Int32? = nil, detached: Bool = false,
        kept: Keeper.Kept? = nil, loop: MainLoop, children: Children, report: @escaping (Int32, Report) -> Void
    ) throws(CoreError) -> GenerationProcess {
        let (ours, theirs) = try Link.pair()
        let null = try Descriptor.null()
        var inherit = [(from: theirs.fd, to: channelNumber)]
        if detached { inherit.append((null.fd, STDIN_FILENO)) }
        if let output { inherit += [(output, STDOUT_FILENO), (output, STDERR_FILENO)] }
        var environment = environment
        var feed: (ours: Link, theirs: Link)?
        if kept != nil {
            let pair = try Link.pair()
            inherit.append((pair.1.fd, keeperNumber))
            environment[SupervisionChannel.keeperVariable] = String(keeperNumber)
            feed = pair
        }
        var box: GenerationProcess?
        let process = try children.start(
            program, arguments: arguments, environment: environment, inherit: inherit, newSession: detached,
            onEnd: { ending in
                box?.finish(ending)
                box = nil
            })
        let generation = GenerationProcess(process, loop, ours, report)
        box = generation
        try loop.watch(ours.fd) { [weak generation] in generation?.receive() }
        if let kept, let feed { KeeperFeed.start(kept, on: feed.ours, loop: loop) }
        withExtendedLifetime((theirs, null, feed?.theirs)) {}
        return generation
    }

    private init(_ process: SpawnedProcess, _ loop: MainLoop, _ link: Link, _ report: @escaping (Int32, Report) -> Void) {
        self.process = process
        self.loop = loop
        self.link = link
        self.report = report
    }

    deinit { loop.unwatch(link.fd) }

    static func environment(_ own: Environment) -> Environment { own.forGeneration(channel: channelNumber) }

    /// Everything that has arrived.
    private func receive() {
        do {
            while let packet = try link.receive() {
                guard packet.type == MessageType.supervision else {
                    report(pid, .message(packet))
                    continue
                }
                if let event = try? packet.json(SupervisionEvent.self) { report(pid, .event(event)) }
            }
        } catch {
            // Closed, or nonsense: its end will tell, or the deadline of the attempt.
            loop.unwatch(link.fd)
        }
    }

    /// What it said before it ended comes first.
    private func finish(_ ending: Processes.Ending) {
        receive()
        loop.unwatch(link.fd)
        report(pid, .ended(ending))
    }
}

extension Descriptor {
    static func null() throws(CoreError) -> Descriptor {
        let fd = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard fd >= 0 else { throw CoreError(code: -errno, call: "open", object: "/dev/null") }
        return Descriptor(adopting: fd)
    }
}
