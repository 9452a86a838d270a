/// What can happen to a generation. The driver translates messages, signals, time-outs and deaths into these.
public enum RestartEvent: Hashable, Sendable {
    // Becoming a generation.
    /// Begin. `hotRestart` false: `--disable-hot-restart`, no other generation is looked for.
    case start(hotRestart: Bool)
    /// Nobody serves under this base id and the control name is ours now.
    case nobodyServes
    /// A link to the serving generation exists.
    case connected
    case welcome(parentEpoch: UInt64)
    case refused(RestartFailure)
    /// Every listening socket, statistics block and the control socket of the parent are here.
    case inheritanceEnded
    /// Sockets that the parent had to make are here (or it could not make them).
    case extraSocketsArrived
    /// All sockets are open and the workers run.
    case prepared
    /// First name resolutions are done.
    case warm
    /// Outcome of `takeService`.
    case serviceTaken(Bool)
    /// An effect before the take-over failed.
    case failed(RestartFailure)

    // From the parent (when we are the child).
    case parentDraining
    case parentBye(ByeWord)
    /// End of the link without a goodbye: the parent is dead.
    case parentGone

    // From the child (when we are the parent).
    case childHello(epoch: UInt64)
    case childReady
    case childBye(ByeWord)
    /// End of the link without a goodbye: the child is dead. For a draining generation also: the process that the word names has
    /// been dead for a second (a stopped process can hold the link open); `successorAnnounced` with its epoch goes before.
    case childGone
    /// Whom `successor(whileWordIs:)` names shows no sign of life (judged only while our own main loop was on time, and after
    /// reading the links).
    case childSilent
    /// A younger generation than our child is about to take over; it holds our link too.
    case successorAnnounced(epoch: UInt64)

    // From our own engine.
    case acceptStopped
    /// No connection is left.
    case empty
    case closedAll
    /// A worker found another epoch in the word of who serves.
    case lostService(to: UInt64)

    // From people.
    case stop
    case drainNow

    case timeout(RestartTimer)
}

/// Why a generation leaves.
public enum ByeWord: UInt64, Hashable, Sendable, CaseIterable {
    /// Last connection gone.
    case drained = 1
    /// On purpose (SIGTERM, ^C). From a serving generation to older ones: everything is to stop. From a parent to the child that it
    /// was starting: only the parent stops, the child takes over.
    case stop
    /// It could not take over.
    case failed
    /// Force deadline, or told to end.
    case forced
}

/// Every wait of the machine, with its deadline. docs/design/0001-restart-machine.md lists the outcomes.
public enum RestartTimer: Hashable, Sendable, CaseIterable {
    /// child: WELCOME, and the inheritance after it.
    case welcome, inheritance
    /// child: sockets the parent makes; then fewer are used.
    case extraSockets
    /// child: first name resolutions; then it goes on cold.
    case warmUp
    /// child: DRAINING after READY; then it serves anyway, the word is its own.
    case parentAnswer
    /// parent: from HELLO to READY.
    case childInitialization
    /// parent: READY after the child took the word.
    case childReady
    /// parent: how long it stays to serve again.
    case rollbackWindow
    /// parent: connections that are left are closed by force.
    case forceClose
    /// leaving: closing all connections.
    case exit
}

/// Why an attempt failed: the step, a stable id, what happened, what to do next.
public struct RestartFailure: Error, Hashable, Sendable {
    public var step: String
    public var id: String
    public var message: String
    public var remedy: String
    /// Exit code of a process that ends for it (75: busy, try again).
    public var exitCode: Int32

    public init(step: String, id: String, message: String, remedy: String, exitCode: Int32 = 1) {
        self.step = step
        self.id = id
        self.message = message
        self.remedy = remedy
        self.exitCode = exitCode
    }
}
