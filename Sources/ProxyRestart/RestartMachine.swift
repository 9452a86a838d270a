/// The restart state machine of one generation: a pure value. State and event go in, state and effects come out; no clock, no
/// descriptor, no process.
///
///      lookingForParent ──nobodyServes──────────────► preparing ──prepared/warm──► takingOver
///            │ connected                                 ▲                             │ serviceTaken(true)
///            ▼                                           │ extraSocketsArrived         ▼
///        helloSent ──welcome──► inheriting ──ended──► adopting                     announcing ──parentDraining, time-out,
///                                                                                      │         parent dead──► serving
///                                                                                      ▼
///        ┌───────────────────────────────────────────────────────────────────────── serving ◄───────────────┐
///        │ childReady                                                                  │ childHello         │ child failed
///        ▼                                                                             └──► child: .initializing
///   stoppingAccept ──acceptStopped──► draining ──empty and window over, or forced──► leaving
///        │                               │
///        └────────── child dead ─────────┴──► reclaiming ──serviceTaken(true)──► serving      (rollback)
///                                        ▲         │
///                                        └─────────┘ serviceTaken(false): another generation was quicker
///
/// A child that ends before READY takes `serving` through `reclaiming` too: it may have had the word. A serving generation that was
/// stopped (SIGSTOP) and replaced meanwhile finds that out from the word and goes to `stoppingAccept`: it drains.
/// `stop` leads from every state to `leaving`, from `reclaiming` as soon as it is known who serves.
/// A parent that dies in any state before `takingOver` makes the child take over as soon as its sockets are open.
/// `leaving` is final. docs/design/0001-restart-machine.md has the table of deadlines and outcomes.
public struct RestartMachine: Hashable, Sendable {
    public enum State: Hashable, Sendable {
        case idle
        case lookingForParent
        case helloSent
        case inheriting
        case adopting
        case preparing
        /// Workers run; waiting for first name resolutions.
        case warming
        case takingOver
        case announcing
        case serving
        case stoppingAccept
        case draining
        /// The child is dead: the word of who serves is being taken back.
        case reclaiming(RestartFailure)
        case leaving(Int32)
    }

    /// The generation we started from.
    public enum Parent: Hashable, Sendable {
        case none
        case alive(epoch: UInt64)
        case dead(epoch: UInt64)
        var epoch: UInt64? {
            switch self {
            case .none: nil
            case .alive(let epoch), .dead(let epoch): epoch
            }
        }
    }

    /// The generation that is to replace us.
    public enum Child: Hashable, Sendable {
        case none
        case initializing(epoch: UInt64)
        /// It swapped the word; its READY is on the way.
        case tookWord(epoch: UInt64)
        case serving(epoch: UInt64)
        public var epoch: UInt64? {
            switch self {
            case .none: nil
            case .initializing(let epoch), .tookWord(let epoch), .serving(let epoch): epoch
            }
        }
    }

    /// Asked to stop while the word was being taken back.
    private var stopIsDue = false

    /// The parent gave up on us after we had taken the word, and is about to take it back.
    private var isGivenUp = false

    private enum Force: Hashable, Sendable { case no, due, begun, done }

    public let epoch: UInt64
    public private(set) var state = State.idle
    public private(set) var parent = Parent.none
    public private(set) var child = Child.none
    /// While draining: we stay to serve again should the child die.
    public private(set) var windowIsOpen = false
    public private(set) var isEmpty = false
    /// Whatever was inherited before the parent died.
    private var isCold = true
    private var drainHasBegun = false
    /// The end of the drain by force: wanted (we were not in a state to begin it), begun, done.
    private var force = Force.no
    /// Younger generations that took over, or were about to, after our child did; they announced it on our link. The link ends
    /// only when all of them are dead, so the word can be taken back from whichever of them has it.
    public private(set) var successors: [UInt64] = []

    public init(epoch: UInt64) { self.epoch = epoch }

    /// Whether this generation believes that it serves: not any more once it knows that its child has the word.
    public var serves: Bool {
        if case .tookWord = child { return false }
        return state == .announcing || state == .serving
    }

    /// Whom `fenceChild` kills, and whose signs of life count as the child's, where `word` says who serves: whichever of the child
    /// and its successors has the word. While a child initialises we have the word, and it is the child. nil: nobody of ours.
    public func successor(whileWordIs word: UInt64) -> UInt64? {
        guard let childEpoch = child.epoch else { return nil }
        if word == epoch || word == childEpoch { return childEpoch }
        return successors.contains(word) ? word : nil
    }

    public mutating func handle(_ event: RestartEvent) -> [RestartEffect] {
        if case .leaving = state { return leave(event) }
        switch event {
        case .stop: return stop()
        case .failed(let failure): return fail(failure)
        case .lostService(let owner): return lose(to: owner)
        default: break
        }
        switch state {
        case .idle, .lookingForParent, .helloSent, .inheriting, .adopting, .preparing, .warming: return initialize(event)
        case .takingOver, .announcing: return takeOver(event)
        case .serving: return serve(event)
        case .stoppingAccept, .draining: return drain(event)
        case .reclaiming: return reclaim(event)
        case .leaving: return []
        }
    }
}

// MARK: child, up to the take-over

extension RestartMachine {
    private mutating func initialize(_ event: RestartEvent) -> [RestartEffect] {
        switch (state, event) {
        case (.idle, .start(let hotRestart)):
            guard hotRestart else { return prepare() }
            state = .lookingForParent
            return [.lookForParent]
        case (.lookingForParent, .nobodyServes):
            return prepare()
        case (.lookingForParent, .connected):
            state = .helloSent
            return [.note(.connectedToParent), .sendHello, .arm(.welcome)]
        case (.helloSent, .welcome(let parentEpoch)):
            guard parentEpoch < epoch else { return fail(.epochNotAbove(epoch, serving: parentEpoch)) }
            parent = .alive(epoch: parentEpoch)
            isCold = false
            state = .inheriting
            return [.cancel(.welcome), .note(.welcomed), .arm(.inheritance)]
        case (.helloSent, .refused(let failure)):
            return fail(failure)
        case (.helloSent, .timeout(.welcome)):
            return fail(.silentParent("no WELCOME"))
        case (.helloSent, .parentGone):
            // It died before it gave us anything: look again, somebody else may serve or nobody.
            state = .lookingForParent
            return [.cancel(.welcome), .note(.parentDied), .forgetParent, .lookForParent]
        case (.inheriting, .inheritanceEnded):
            return adopt([.cancel(.inheritance), .note(.inherited)])
        case (.inheriting, .timeout(.inheritance)):
            return fail(.silentParent("the listening sockets did not come"))
        case (.adopting, .extraSocketsArrived), (.adopting, .timeout(.extraSockets)):
            return prepare([.cancel(.extraSockets)])
        case (.preparing, .prepared):
            state = .warming
            if case .dead = parent { return [.note(.prepared)] + beginTakeOver() }
            return [.note(.prepared), .arm(.warmUp)]
        case (.warming, .warm):
            return [.cancel(.warmUp), .note(.warmedUp)] + beginTakeOver()
        case (.warming, .timeout(.warmUp)):
            return [.note(.coldAtDeadline)] + beginTakeOver()
        case (_, .parentGone): return loseParent(.parentDied)
        case (_, .parentBye(let word)):
            // It gave up on us (time-out): it still serves. Any other goodbye: it leaves, we are to serve.
            if word == .failed { return fail(.givenUpByParent) }
            return loseParent(.parentLeft(word))
        default: return []
        }
    }

    private mutating func adopt(_ effects: [RestartEffect]) -> [RestartEffect] {
        state = .adopting
        return effects + [.adoptInheritance, .arm(.extraSockets)]
    }

    private mutating func prepare(_ effects: [RestartEffect] = []) -> [RestartEffect] {
        state = .preparing
        return effects + [.prepare(cold: isCold)]
    }

    private mutating func beginTakeOver() -> [RestartEffect] {
        state = .takingOver
        return [.takeService(from: parent.epoch)]
    }

    /// The parent is gone before we took over: take over at once, warm or not.
    private mutating func loseParent(_ note: RestartNote) -> [RestartEffect] {
        guard case .alive(let parentEpoch) = parent else { return [] }
        parent = .dead(epoch: parentEpoch)
        let effects: [RestartEffect] = [.note(note)]
        switch state {
        case .inheriting: return adopt(effects + [.cancel(.inheritance)])
        case .adopting: return prepare(effects + [.cancel(.extraSockets)])
        case .warming: return effects + [.cancel(.warmUp)] + beginTakeOver()
        default: return effects
        }
    }

    private mutating func takeOver(_ event: RestartEvent) -> [RestartEffect] {
        switch (state, event) {
        case (.takingOver, .serviceTaken(true)):
            if case .alive = parent {
                state = .announcing
                return [.startAccepting, .sendReady, .note(.tookOver), .arm(.parentAnswer)]
            }
            state = .serving
            let farewell: [RestartEffect] = parent == .none ? [] : [.forgetParent]
            return [.startAccepting] + farewell + [.note(.tookOver)]
        case (.takingOver, .serviceTaken(false)):
            return fail(.serviceNotTaken)
        case (.takingOver, .parentGone), (.takingOver, .parentBye):
            if case .alive(let parentEpoch) = parent { parent = .dead(epoch: parentEpoch) }
            return [.note(.parentDied)]
        case (.announcing, .parentDraining):
            state = .serving
            return [.cancel(.parentAnswer), .note(.parentDrains)]
        case (.announcing, .timeout(.parentAnswer)):
            // The word is ours and the parent re-reads it before it accepts: it cannot serve beside us.
            state = .serving
            return [.note(.parentSilent)]
        case (.announcing, .parentGone):
            state = .serving
            return [.cancel(.parentAnswer), .note(.parentDied)] + parentLeft()
        case (.announcing, .parentBye(.failed)):
            // It kills us, or takes the word back, or dies before it has: until one of these is known, nothing has succeeded or failed.
            isGivenUp = true
            return []
        case (.announcing, .parentBye(let word)):
            state = .serving
            return [.cancel(.parentAnswer), .note(.parentLeft(word))] + parentLeft()
        case (.announcing, .childHello):
            return [.refuseChild(.busy)]
        default: return []
        }
    }

    private mutating func parentLeft() -> [RestartEffect] {
        parent = .none
        return [.forgetParent]
    }
}

// MARK: serving, with or without a child that initialises

extension RestartMachine {
    private mutating func serve(_ event: RestartEvent) -> [RestartEffect] {
        switch event {
        case .parentDraining: return [.note(.parentDrains)]
        case .parentBye(let word):
            guard parent != .none else { return [] }
            return [.note(.parentLeft(word))] + parentLeft()
        case .parentGone:
            guard parent != .none else { return [] }
            return [.note(.parentDied)] + parentLeft()
        case .childHello(let childEpoch): return welcome(childEpoch)
        case .childReady:
            guard let childEpoch = child.epoch else { return [] }
            child = .serving(epoch: childEpoch)
            return [.cancel(.childInitialization), .cancel(.childReady), .note(.childTookOver(epoch: childEpoch))]
                + stopAccepting(windowIsOpen: true)
        // Before READY a child that stops on purpose has not served: only the attempt ends.
        case .childBye(let word): return childEnded(word == .stop ? .childStopped : .childFailed)
        case .childGone: return childEnded(.childDied)
        case .timeout(.childInitialization): return fenceAndEnd(.childTooSlow)
        case .timeout(.childReady), .childSilent: return fenceAndEnd(.childSilent)
        default: return []
        }
    }

    private mutating func welcome(_ childEpoch: UInt64) -> [RestartEffect] {
        guard child == .none else { return [.refuseChild(.busy)] }
        guard childEpoch > epoch else { return [.refuseChild(.epochNotAbove(childEpoch, serving: epoch))] }
        child = .initializing(epoch: childEpoch)
        return [.note(.childAppeared(epoch: childEpoch)), .sendWelcomeAndInheritance, .arm(.childInitialization)]
    }

    private mutating func fenceAndEnd(_ failure: RestartFailure) -> [RestartEffect] {
        guard child != .none else { return [] }
        return [.sendBye(.failed, to: .child), .fenceChild, .note(.fenced)] + childEnded(failure)
    }

    /// The attempt is over. The child may have taken the word and died before anybody noticed, so it is always asked for back.
    private mutating func childEnded(_ failure: RestartFailure) -> [RestartEffect] {
        guard let childEpoch = child.epoch else { return [] }
        state = .reclaiming(failure)
        return [.cancel(.childInitialization), .cancel(.childReady), .takeServiceBack(from: [childEpoch])]
    }

    /// A worker found another epoch in the word.
    private mutating func lose(to owner: UInt64) -> [RestartEffect] {
        switch (state, child) {
        case (.serving, .initializing(let childEpoch)) where owner > epoch:
            // The child, or already one that took over from it: READY and what followed are on the link.
            child = .tookWord(epoch: childEpoch)
            return [.arm(.childReady)]
        case (.serving, .tookWord): return []
        case (.serving, _), (.announcing, _): return giveWay(to: owner)
        default: return []
        }
    }

    /// We were stopped for so long that another generation was put in our place. It serves; our connections end as in any drain,
    /// and should it die before that, we serve again.
    private mutating func giveWay(to owner: UInt64) -> [RestartEffect] {
        let failure = state == .announcing && isGivenUp ? RestartFailure.givenUpByParent : .fencedOut(owner: owner)
        var effects: [RestartEffect] = [.reportFailure(failure)]
        if state == .announcing { effects.append(.cancel(.parentAnswer)) }
        if child != .none { effects += [.cancel(.childInitialization), .forgetChild(reason: failure)] }
        child = .serving(epoch: owner)
        return effects + stopAccepting(windowIsOpen: false)
    }

    private mutating func stopAccepting(windowIsOpen: Bool) -> [RestartEffect] {
        state = .stoppingAccept
        isEmpty = false
        self.windowIsOpen = windowIsOpen
        return [.stopAccepting]
    }
}

// MARK: draining, rollback

extension RestartMachine {
    private mutating func drain(_ event: RestartEvent) -> [RestartEffect] {
        switch (state, event) {
        case (.stoppingAccept, .acceptStopped):
            state = .draining
            drainHasBegun = true
            let effects: [RestartEffect] = [.sendDraining, .note(.drainBegan), .beginDrain]
            return effects + (force == .no ? [.arm(.rollbackWindow), .arm(.forceClose)] : goOnDraining())
        case (_, .empty):
            isEmpty = true
            return goOnDraining()
        case (.draining, .timeout(.rollbackWindow)):
            windowIsOpen = false
            return goOnDraining()
        case (.draining, .timeout(.forceClose)), (_, .drainNow):
            wantForce()
            return goOnDraining()
        case (.draining, .closedAll), (.draining, .timeout(.exit)):
            if force == .begun { force = .done }
            return goOnDraining()
        case (_, .successorAnnounced(let successor)): return remember(successor)
        case (_, .childBye(.stop)): return leaveAfterChild()
        case (_, .childBye(let word)):
            // A newer generation took over from our child, or it could not go on: its link is closed next.
            return word == .failed ? reclaimService(.childFailed) : []
        case (_, .childGone): return reclaimService(.childDied)
        case (_, .childSilent):
            guard windowIsOpen else { return [] }
            return [.fenceChild, .note(.fenced)] + reclaimService(.childSilent)
        case (_, .childHello): return [.refuseChild(.notServing)]
        case (_, .parentGone), (_, .parentBye): return parent == .none ? [] : parentLeft()
        default: return []
        }
    }

    private mutating func remember(_ successor: UInt64) -> [RestartEffect] {
        successors.removeAll { $0 == successor }
        successors.append(successor)
        return []
    }

    private mutating func reclaimService(_ failure: RestartFailure) -> [RestartEffect] {
        guard let childEpoch = child.epoch else { return [] }
        state = .reclaiming(failure)
        return [.takeServiceBack(from: successors.reversed() + [childEpoch])]
    }

    private mutating func reclaim(_ event: RestartEvent) -> [RestartEffect] {
        guard case .reclaiming(let failure) = state else { return [] }
        switch event {
        case .serviceTaken(true) where stopIsDue:
            state = .serving
            child = .none
            return stop()
        case .serviceTaken(false) where stopIsDue:
            state = .draining
            return stop()
        case .serviceTaken(true): return serveAgain(after: failure)
        case .serviceTaken(false):
            // Another generation was quicker: it serves, we drain, and stay for a window of its own.
            guard drainHasBegun else { return stopAccepting(windowIsOpen: true) }
            windowIsOpen = true
            state = .draining
            return [.arm(.rollbackWindow)] + goOnDraining()
        case .childBye(.stop): return leaveAfterChild()
        case .childHello: return [.refuseChild(.busy)]
        case .successorAnnounced(let successor): return remember(successor)
        case .empty: isEmpty = true
        case .timeout(.forceClose), .drainNow: wantForce()
        case .closedAll, .timeout(.exit): if force == .begun { force = .done }
        default: break
        }
        return []
    }

    private mutating func serveAgain(after failure: RestartFailure) -> [RestartEffect] {
        let former = child
        child = .none
        successors = []
        state = .serving
        windowIsOpen = false
        isEmpty = false
        drainHasBegun = false
        force = .no
        let timers: [RestartEffect] = [.cancel(.rollbackWindow), .cancel(.forceClose), .cancel(.exit)]
        let effects: [RestartEffect] = [.endDrain] + timers + [.startAccepting]
        switch former {
        case .serving(let from), .tookWord(let from): return effects + [.recordRollback(failure), .note(.rolledBack(from: from))]
        case .initializing, .none: return effects + [.forgetChild(reason: failure)]
        }
    }

    private mutating func wantForce() {
        if force == .no { force = .due }
        windowIsOpen = false
    }

    /// The next step towards the end of the drain, if it is time for one. A drain that is being forced can still be rolled back.
    private mutating func goOnDraining() -> [RestartEffect] {
        guard state == .draining else { return [] }
        switch force {
        case .no: return isEmpty && !windowIsOpen ? leaveDrained(.drained) : []
        case .due:
            force = .begun
            return [.cancel(.rollbackWindow), .cancel(.forceClose), .note(.forced), .closeAll, .arm(.exit)]
        case .begun: return []
        case .done: return leaveDrained(.forced)
        }
    }

    /// The child stopped on purpose: everything is to stop.
    private mutating func leaveAfterChild() -> [RestartEffect] {
        state = .leaving(0)
        return [.endDrain, .closeAll, .arm(.exit)]
    }

    private mutating func leaveDrained(_ word: ByeWord) -> [RestartEffect] {
        state = .leaving(0)
        return [.endDrain, .note(.drained), .sendBye(word, to: .child), .exit(0)]
    }
}

// MARK: leaving

extension RestartMachine {
    /// SIGTERM, ^C, /quitquitquit.
    private mutating func stop() -> [RestartEffect] {
        switch state {
        case .serving, .announcing:
            // With a child only this generation stops: the child takes over at once, or has already, and the older ones stay for it.
            let stopsAll: [RestartEffect] = [.sendBye(.stop, to: .parent), .sendBye(.stop, to: .older)]
            state = .leaving(0)
            return (child == .none ? stopsAll : [.sendBye(.stop, to: .child)]) + [.closeAll, .arm(.exit)]
        case .reclaiming:
            // Whether we serve, and so whether everything stops, is known at once.
            stopIsDue = true
            return []
        case .stoppingAccept, .draining:
            // The child serves; it only has to know that we are gone.
            state = .leaving(0)
            return [.endDrain, .sendBye(.forced, to: .child), .closeAll, .arm(.exit)]
        default:
            // Still initialising: the parent goes on as if nobody had asked.
            state = .leaving(0)
            return [.sendBye(.failed, to: .parent), .exit(0)]
        }
    }

    private mutating func fail(_ failure: RestartFailure) -> [RestartEffect] {
        switch state {
        case .serving, .stoppingAccept, .draining, .announcing: return [.reportFailure(failure)]
        default: return leaveWith(failure)
        }
    }

    private mutating func leaveWith(_ failure: RestartFailure) -> [RestartEffect] {
        state = .leaving(failure.exitCode)
        return [.reportFailure(failure), .sendBye(.failed, to: .parent), .exit(failure.exitCode)]
    }

    private mutating func leave(_ event: RestartEvent) -> [RestartEffect] {
        guard case .leaving(let code) = state else { return [] }
        switch event {
        case .closedAll, .timeout(.exit), .stop: return [.exit(code)]
        default: return []
        }
    }
}
