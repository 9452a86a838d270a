import ProxyRestart

/// Which worlds are looked at: how many generations are ever started, how many adverse acts may happen.
struct Bounds {
    var generations: Int
    var faults: Int
    var canKill = true
    /// How many may be on their way at the same time, the second only to be refused.
    var attemptsAtOnce = 1
    /// Clocks run out only when nothing else is left to do: messages are quicker than deadlines. For worlds that are too big otherwise.
    var clocksAreLate = false
    var contract = Contract.all
    /// Kinds of adverse acts.
    var acts: Set<Action.Kind> = [.kill, .killInMidSend, .suspend, .terminate, .drainNow, .prepareFails]
}

/// The rules of the world: which actions a state allows and what each does.
final class Model {
    let bounds: Bounds
    let table: MachineTable
    let driver: ModelDriver

    init(_ bounds: Bounds, mutant: Mutant? = nil) {
        self.bounds = bounds
        table = MachineTable(mutant: mutant)
        driver = ModelDriver(table: table, canKill: bounds.canKill, contract: bounds.contract)
    }

    var initial: World {
        var world = World()
        world.facts.word = World.nobody
        world.facts.faults = bounds.faults
        return world
    }

    // MARK: what can happen

    func actions(in world: World, into actions: inout [Action]) {
        actions.removeAll(keepingCapacity: true)
        for index in 0..<World.places {
            let process = world[process: index]
            if process.life == .running { addOwn(index, process, world, &actions) }
            addLink(index, world, &actions)
        }
        if bounds.clocksAreLate, actions.contains(where: \.isUrgent) { actions.removeAll { !$0.isUrgent } }
        addOwnerWatch(world, &actions)
        addActs(world, &actions)
    }

    /// What the process does by itself.
    private func addOwn(_ index: Int, _ process: Process, _ world: World, _ actions: inout [Action]) {
        // Contract of the driver: the outcome of a compare-and-swap is the next event after it. Only death can come between.
        if let taken = Pending.all.firstIndex(where: { Self.takeOutcomes.contains($0) && process.pending.contains($0) }) {
            actions.append(Action(.outcome, index, taken))
            return
        }
        for (place, outcome) in Pending.all.enumerated() where process.pending.contains(outcome) {
            if outcome == .closedAll, mayNotEnd(index, world) { continue }
            actions.append(Action(.outcome, index, place))
        }
        // Workers ask the word when a client comes.
        if process.isAccepting, world.word != index { actions.append(Action(.lostService, index)) }
        let entry = table.entries[process.machine]
        if !hasToRead(index, world) || !bounds.contract.contains(.linksBeforeClocks) {
            for timer in 0..<RestartTimer.all.count where process.timers.contains(number: timer) {
                if Self.endingTimers.contains(number: timer), mayNotEnd(index, world) { continue }
                actions.append(Action(.timeout, index, timer))
            }
        }
        if entry.isWarming { actions.append(Action(.warm, index)) }
        if entry.awaitsEmpty, !mayNotEnd(index, world) { actions.append(Action(.empty, index)) }
        addWatch(index, process, world, &actions)
    }

    /// Silence and death that no link shows. Contract of the driver: judged only when there is nothing to read.
    private func addWatch(_ index: Int, _ process: Process, _ world: World, _ actions: inout [Action]) {
        guard !hasToRead(index, world) else { return }
        if let judged = driver.judged(by: index, in: world), world[process: judged].life == .stopped {
            actions.append(Action(.childSilent, index))
        }
    }

    /// A draining generation also watches the process that the word names (its record has the pid), because a stopped process can
    /// hold the link open for a dead one. Contract of the driver: the process has to be dead for a second, during which whoever is
    /// nearer (the parent of the dead one, its child) does what it has to.
    private func addOwnerWatch(_ world: World, _ actions: inout [Action]) {
        guard bounds.contract.contains(.ownerWatch), !actions.contains(where: \.isUrgent) else { return }
        for index in 0..<World.places where hears(index, world) && isOwnerDead(index, world) && !hasToRead(index, world) {
            actions.append(Action(.ownerDead, index))
        }
    }

    private static let takeOutcomes: [Pending] = [.taken, .notTaken]
    private static let endingTimers: TimerSet = [TimerSet(.rollbackWindow), TimerSet(.forceClose), TimerSet(.exit)]

    /// Contract of the driver: in each turn it reads its links until they are empty, and only then judges clocks; and before it feeds
    /// what lets a draining generation end (`empty`, `closedAll`, its time-outs) it sees that the process that the word names is alive.
    private func mayNotEnd(_ index: Int, _ world: World) -> Bool {
        bounds.contract.contains(.linksBeforeClocks) && hasToRead(index, world)
            || bounds.contract.contains(.ownerWatch) && isOwnerDead(index, world)
    }

    func isOwnerDead(_ index: Int, _ world: World) -> Bool {
        table.entries[world[process: index].machine].isDraining && world.word != index && world.word != World.nobody
            && world[process: world.word].life == .gone
    }

    private func hasToRead(_ index: Int, _ world: World) -> Bool {
        if let child = world[process: index].childLink, !world[link: child].up.isEmpty || world[link: child].holders == 0 { return true }
        return world[link: index].isHeld(by: index) && !world[link: index].down.isEmpty
    }

    /// What the link of `index` brings, at either end.
    private func addLink(_ index: Int, _ world: World, _ actions: inout [Action]) {
        let link = world[link: index]
        switch link.status {
        case .none: return
        case .backlog:
            for server in 0..<World.places where server != index && world.accepts(server) { actions.append(Action(.accept, server, index)) }
        case .open:
            guard hears(link.acceptor, world) else { break }
            if !link.up.isEmpty {
                actions.append(Action(.readUp, link.acceptor, index))
            } else if link.holders == 0 {
                actions.append(Action(.childGone, link.acceptor, index))
            }
        case .closed: break
        }
        let process = world[process: index]
        guard hears(index, world), process.readsParent, link.isHeld(by: index), !process.pending.contains(.connected) else { return }
        if !link.down.isEmpty {
            actions.append(Action(.readDown, index, index))
        } else if link.status == .closed {
            actions.append(Action(.parentGone, index, index))
        }
    }

    private func hears(_ index: Int, _ world: World) -> Bool {
        world[process: index].life == .running && world[process: index].pending.isDisjoint(with: [.taken, .notTaken])
    }

    /// What somebody does.
    private func addActs(_ world: World, _ actions: inout [Action]) {
        let facts = world.facts
        if facts.started < bounds.generations, attempts(world) < bounds.attemptsAtOnce { actions.append(Action(.start, facts.started)) }
        for index in 0..<World.places {
            let process = world[process: index]
            if process.life == .stopped { actions.append(Action(.resume, index)) }
            guard process.isAlive, facts.faults > 0 else { continue }
            addAct(.kill, index, &actions)
            if let child = process.childLink, isMidSend(world[link: child].down) {
                addAct(.killInMidSend, index, &actions)
            }
            guard process.life == .running else { continue }
            addAct(.suspend, index, &actions)
            guard process.pending.isDisjoint(with: [.taken, .notTaken]) else { continue }
            if !table.entries[process.machine].isLeaving { addAct(.terminate, index, &actions) }
            if table.entries[process.machine].isDraining { addAct(.drainNow, index, &actions) }
            if process.pending.contains(.prepared) { addAct(.prepareFails, index, &actions) }
        }
    }
    private func addAct(_ kind: Action.Kind, _ index: Int, _ actions: inout [Action]) {
        if bounds.acts.contains(kind) { actions.append(Action(kind, index)) }
    }
    private func isMidSend(_ queue: Queue) -> Bool {
        var shorter = queue
        shorter.dropLast(.inheritance)
        return shorter.bits != queue.bits
    }
    /// Living processes that have never had the word.
    private func attempts(_ world: World) -> Int {
        (0..<World.places).count { index in
            guard world[process: index].isAlive else { return false }
            return table.isInitializing(world[process: index].machine)
        }
    }

    // MARK: what it does

    func apply(_ action: Action, to world: inout World) {
        let index = action.process
        if !action.isFair { world.facts.ending = 0 }
        if action.kind == .timeout { world.facts.ending = 0 }
        switch action.kind {
        case .accept:
            world[link: action.detail].status = .open
            world[link: action.detail].acceptor = index
        case .readUp: readUp(action.detail, by: index, &world)
        case .readDown:
            let message = world[link: index].down.pop()
            driver.feed(event(ofDown: message, to: index, world), to: index, in: &world)
        case .childGone:
            let isChild = world[process: index].childLink == action.detail
            world[link: action.detail] = Link()
            if isChild {
                world[process: index].childLink = nil
                driver.feed(.childGone, to: index, in: &world)
            }
        case .parentGone:
            world[link: index] = Link()
            driver.feed(.parentGone, to: index, in: &world)
        case .outcome: feedOutcome(Pending.all[action.detail], to: index, &world)
        case .lostService:
            // The worker has stopped accepting.
            world[process: index].isAccepting = false
            driver.feed(.lostService(world.word), to: index, in: &world)
        case .timeout:
            world[process: index].timers.remove(TimerSet(number: action.detail))
            driver.feed(.timeout(action.detail), to: index, in: &world)
        case .childSilent: driver.feed(.childSilent, to: index, in: &world)
        case .ownerDead:
            driver.feed(.successorAnnounced(world.word), to: index, in: &world)
            driver.feed(.childGone, to: index, in: &world)
        case .empty: driver.feed(.empty, to: index, in: &world)
        case .warm: driver.feed(.warm, to: index, in: &world)
        case .start:
            world.facts.started += 1
            var process = Process()
            process.life = .running
            process.machine = table.number(of: RestartMachine(epoch: UInt64(index)))
            world[process: index] = process
            driver.feed(.start, to: index, in: &world)
            owe(&world)
        default: act(action.kind, on: index, &world)
        }
        driver.tidy(&world)
    }

    private func act(_ kind: Action.Kind, on index: Int, _ world: inout World) {
        if kind != .resume { world.facts.faults -= 1 }
        switch kind {
        case .kill: driver.end(index, in: &world)
        case .killInMidSend:
            if let child = world[process: index].childLink {
                world[link: child].down.dropLast(.inheritance)
                if !bounds.contract.contains(.linksInWelcome) {
                    for older in 0..<World.places where older != child { world[link: older].holders &= ~(1 << child) }
                }
            }
            driver.end(index, in: &world)
        case .suspend: world[process: index].life = .stopped
        case .resume: world[process: index].life = .running
        case .terminate: terminate(index, &world)
        case .drainNow: driver.feed(.drainNow, to: index, in: &world)
        case .prepareFails:
            world[process: index].pending.remove(.prepared)
            driver.feed(.failed, to: index, in: &world)
        default: break
        }
        owe(&world)
    }

    /// Promise 1 holds for as long as there is a generation that can keep it.
    private func owe(_ world: inout World) {
        world.facts.isOwed = !world.facts.stopWasAsked && (0..<World.places).contains { canServe($0, world) }
    }

    /// Alive, not stopped, with sockets and not on its way out (a child whose compare-and-swap failed is).
    private func canServe(_ index: Int, _ world: World) -> Bool {
        let process = world[process: index]
        return process.life == .running && process.holdsSockets && !table.entries[process.machine].isLeaving
            && !table.isColdStart(process.machine) && !(process.pending.contains(.notTaken) && table.isInitializing(process.machine))
    }

    /// SIGTERM. Once the serving generation is asked to stop, nobody has to serve; without a child the older ones have to end too.
    private func terminate(_ index: Int, _ world: inout World) {
        if world.word == index { world.facts.stopWasAsked = true }
        if world.word == index, table.stopsAll(world[process: index].machine) {
            world.facts.ending = (0..<World.places).reduce(0) { set, other in
                let process = world[process: other]
                let isOlder = other < index && process.life == .running && table.hasServed(process.machine)
                let isLinked = process.childLink.map { world[link: $0].isHeld(by: index) } ?? false
                return isOlder && isLinked ? set | 1 << other : set
            }
        }
        driver.feed(.stop, to: index, in: &world)
    }

    private func readUp(_ link: Int, by index: Int, _ world: inout World) {
        let message = world[link: link].up.pop()
        let event: ModelEvent
        switch message {
        case .hello: event = .childHello(link)
        case .ready: event = .childReady
        case .byeDrained, .byeStop, .byeFailed, .byeForced:
            event = .childBye(ByeWordCode(rawValue: Int(message.rawValue - Message.byeDrained.rawValue))!)
        case .announce1, .announce2, .announce3: event = .successorAnnounced(Int(message.rawValue - Message.announce1.rawValue) + 1)
        case .welcome, .inheritance, .refused, .draining: preconditionFailure("a parent's message on its way up")
        }
        // Only the machine's own child is heard; of others only the HELLO.
        guard message == .hello || world[process: index].childLink == link else { return }
        driver.feed(event, to: index, in: &world, link: link)
    }

    private func event(ofDown message: Message, to index: Int, _ world: World) -> ModelEvent {
        switch message {
        case .welcome: .welcome(world[link: index].acceptor)
        case .inheritance: .inheritanceEnded
        case .refused: .refused
        case .draining: .parentDraining
        default: .parentBye(ByeWordCode(rawValue: Int(message.rawValue - Message.byeDrained.rawValue))!)
        }
    }

    private func feedOutcome(_ outcome: Pending, to index: Int, _ world: inout World) {
        world[process: index].pending.remove(outcome)
        let event: ModelEvent
        switch outcome {
        case .connected: event = .connected
        case .nobodyServes: event = .nobodyServes
        case .extraSockets: event = .extraSocketsArrived
        case .prepared: event = .prepared
        case .taken: event = .serviceTaken(true)
        case .notTaken: event = .serviceTaken(false)
        case .acceptStopped: event = .acceptStopped
        default: event = .closedAll
        }
        driver.feed(event, to: index, in: &world)
    }
}

extension MachineTable {
    func isInitializing(_ number: Int) -> Bool {
        switch entries[number].machine.state {
        case .idle, .lookingForParent, .helloSent, .inheriting, .adopting, .preparing, .warming, .takingOver: true
        default: false
        }
    }
    /// Whether a stop means everybody: it serves, or serves again, without a child.
    func stopsAll(_ number: Int) -> Bool {
        let machine = entries[number].machine
        if case .reclaiming = machine.state { return true }
        return machine.serves && machine.child == .none
    }
    /// A first generation that has not become ready yet.
    func isColdStart(_ number: Int) -> Bool { isInitializing(number) && entries[number].machine.parent == .none }
    func hasServed(_ number: Int) -> Bool {
        if case .leaving = entries[number].machine.state { return false }
        return !isInitializing(number)
    }
}
