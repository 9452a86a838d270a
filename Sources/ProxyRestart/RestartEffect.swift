/// What the machine wants done. The driver carries effects out in order and feeds the outcomes back as events. What it owes the
/// machine beyond that is in docs/design/0001-restart-machine.md.
public enum RestartEffect: Hashable, Sendable {
    // child
    case lookForParent
    case sendHello
    /// Adopt what was inherited, ask the parent for extra sockets if some are wanted (`extraSocketsArrived` answers, at once if none are).
    case adoptInheritance
    /// Open what is missing and start the workers (`prepared` or `failed` answers). `cold`: nothing was inherited.
    case prepare(cold: Bool)
    /// listen() on what does not listen yet, announce ourselves on the links to older generations, then compare-and-swap who serves
    /// (`serviceTaken` answers, as the very next event): from this epoch, or from whoever has the word if that process is dead.
    /// nil: no other generation.
    case takeService(from: UInt64?)
    case sendReady
    case sendBye(ByeWord, to: RestartPeer)
    /// The parent is dead or left: fold its statistics, forget the link.
    case forgetParent

    // serving
    /// Listeners, admin and control socket; links to older generations are read again.
    case startAccepting
    case stopAccepting

    // parent
    /// WELCOME carries the control block and our ends of the links to older generations, in one packet; then the sockets.
    case sendWelcomeAndInheritance
    case refuseChild(RestartFailure)
    /// End an attempt that did not take over: forget the child, keep accepting on everything it left listening.
    /// Its link is closed; what comes on it later is never heard.
    case forgetChild(reason: RestartFailure)
    /// SIGKILL, through its pidfd, to whom `successor(whileWordIs:)` names. If that is impossible, the word alone keeps it out.
    case fenceChild
    /// Make the word of who serves ours: compare-and-swap it from the first of these epochs that has it, unless it is ours
    /// already (`serviceTaken` answers).
    case takeServiceBack(from: [UInt64])
    /// Tell the child that we accept no more. We stop reading the links to older generations, and keep them for a rollback.
    case sendDraining
    /// The child is gone after it took over: fold its statistics, count a rollback.
    case recordRollback(RestartFailure)
    /// Arm the force deadline and begin to report progress.
    case beginDrain
    case endDrain
    case closeAll

    case arm(RestartTimer)
    case cancel(RestartTimer)
    case note(RestartNote)
    case reportFailure(RestartFailure)
    case exit(Int32)
}

public enum RestartPeer: Hashable, Sendable {
    case parent, child
    /// All older generations that still drain.
    case older
}

/// Milestones for the log, the report and the supervisor.
public enum RestartNote: Hashable, Sendable {
    case connectedToParent, welcomed, inherited, prepared, warmedUp, coldAtDeadline, tookOver, parentDrains
    case parentSilent, parentDied
    case parentLeft(ByeWord)
    case childAppeared(epoch: UInt64)
    case childTookOver(epoch: UInt64)
    case drainBegan, drained, forced
    case rolledBack(from: UInt64)
    case fenced
}
