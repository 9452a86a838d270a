import ProxyRestart

/// What the machine relies on beyond its effects. The first two keep a healthy child from being fenced and a rollback quick; without
/// one of the last two a promise is broken.
struct Contract: OptionSet, Hashable {
    let rawValue: Int
    /// Links are read until they are empty before clocks are judged.
    static let linksBeforeClocks = Contract(rawValue: 1)
    /// The links to older generations come with WELCOME, not after the sockets.
    static let linksInWelcome = Contract(rawValue: 2)
    /// A draining generation notices within a second that the process that the word names is dead, and does not end before.
    static let ownerWatch = Contract(rawValue: 4)
    /// `takeService` takes the word from a dead process too.
    static let wordOfTheDead = Contract(rawValue: 8)
    static let all: Contract = [.linksBeforeClocks, .linksInWelcome, .ownerWatch, .wordOfTheDead]
}

/// What the driver does for each effect, in the small world of the explorer. The comments are the contract of the real driver:
/// where it does something else, what the explorer proves is not true of it.
struct ModelDriver {
    let table: MachineTable
    /// Whether fencing can kill (a pidfd, and the right to signal). Without it only the word fences.
    let canKill: Bool
    var contract = Contract.all

    /// Feed one event and carry out what the machine wants, in order, before the next event. `link`: what the event was read from.
    func feed(_ event: ModelEvent, to index: Int, in world: inout World, link: Int? = nil) {
        let outcome = table.outcome(of: event, in: world[process: index].machine)
        world[process: index].machine = outcome.machine
        for effect in outcome.effects {
            guard world[process: index].isAlive else { break }
            perform(effect, of: index, in: &world, link: link)
        }
        tidy(&world)
    }

    private func perform(_ effect: ModelEffect, of index: Int, in world: inout World, link: Int?) {
        switch effect {
        case .lookForParent:
            // Connect to the control name, or bind it when nobody is there; one atomic step (lock file, or the abstract name itself).
            // A connection waits in the backlog until whoever serves accepts it. A process that holds the control socket but neither
            // serves nor will, keeps us waiting; its end resets the connection, which is `parentGone`.
            if world.holdsSockets(besides: index) {
                var link = Link()
                link.status = .backlog
                link.holders = 1 << index
                world[link: index] = link
                world[process: index].pending.insert(.connected)
            } else {
                world[process: index].holdsSockets = true
                world[process: index].pending.insert(.nobodyServes)
            }
            world[process: index].readsParent = true
        case .sendHello:
            push(.hello, up: index, in: &world)
        case .adoptInheritance:
            // Takes what has come, whole or not: what is missing is opened by `prepare`.
            world[process: index].holdsSockets = true
            world[process: index].pending.insert(.extraSockets)
        case .prepare:
            world[process: index].pending.insert(.prepared)
        case .takeService(let from):
            // In this order: announce on every link to an older generation (they must know whom to take the word from before it is
            // ours), then the compare-and-swap: from `from`, or from whoever has the word if that process is dead (an older generation
            // may have taken the word back from our dead parent and died itself). The outcome is an event; death in between is possible.
            for older in olderLinks(of: index, in: world) where older != index { push(.announce(index), up: older, in: &world) }
            let dead = contract.contains(.wordOfTheDead) ? (0..<World.places).filter { world[process: $0].life == .gone } : []
            take(from: from.map { [$0] + dead }, by: index, in: &world)
        case .takeServiceBack(let epochs):
            take(from: epochs, by: index, in: &world)
        case .sendReady:
            push(.ready, up: index, in: &world)
        case .sendBye(let word, let peer):
            // A peer that is gone is no error. `older` leaves the parent's own link out: it has its own goodbye.
            switch peer {
            case .parent: push(.bye(word), up: index, in: &world)
            case .child: if let child = world[process: index].childLink { push(.bye(word), down: child, in: &world) }
            case .older: for older in olderLinks(of: index, in: world) where older != index { push(.bye(word), up: older, in: &world) }
            }
        case .forgetParent:
            // Close our end of the link to the parent.
            world[link: index].holders &= ~(1 << index)
        case .startAccepting:
            // Workers, admin and control socket (listen() again); the links to older generations, the parent's included, are read
            // again. Workers and the control socket ask the word before they accept.
            world[process: index].isAccepting = true
            world[process: index].readsParent = true
        case .stopAccepting:
            // Links to older generations are kept, for a rollback, but no longer read: the successor reads them.
            world[process: index].isAccepting = false
            world[process: index].readsParent = false
            world[process: index].pending.insert(.acceptStopped)
        case .sendWelcome:
            welcome(of: index, in: &world, link: link)
        case .refuseChild:
            // On the link that the HELLO came from, which is closed then. The machine's child, if any, is another.
            guard let link else { return }
            push(.refused, down: link, in: &world)
            close(link, in: &world)
        case .forgetChild:
            // Close our end; what the child still says on it is never heard.
            if let child = world[process: index].childLink { close(child, in: &world) }
            world[process: index].childLink = nil
        case .fenceChild:
            // `successor(whileWordIs:)`: not the child itself if it has handed on to another generation and drains in peace.
            guard canKill, let victim = judged(by: index, in: world) else { return }
            end(victim, in: &world)
        case .sendDraining:
            if let child = world[process: index].childLink { push(.draining, down: child, in: &world) }
        case .closeAll:
            world[process: index].pending.insert(.closedAll)
        case .arm(let timer):
            world[process: index].timers.formUnion(timer)
        case .cancel(let timer):
            world[process: index].timers.subtract(timer)
        case .exit:
            end(index, in: &world)
        }
    }

    /// WELCOME is one packet and carries the control block and our ends of the links to older generations (the parent's included),
    /// so that a welcomed child knows them whatever happens next; then listening sockets, control socket, statistics blocks, END.
    private func welcome(of index: Int, in world: inout World, link: Int?) {
        guard let link else { return }
        world[process: index].childLink = link
        push(.welcome, down: link, in: &world)
        push(.inheritance, down: link, in: &world)
        guard world[link: link].isHeld(by: link) else { return }
        for older in olderLinks(of: index, in: world) where older != link { world[link: older].holders |= 1 << link }
    }

    /// Compare-and-swap from the first that has the word; nil: a new control block.
    private func take(from epochs: [Int]?, by index: Int, in world: inout World) {
        if epochs == nil || epochs!.contains(world.word) { world.word = index }
        world[process: index].pending.insert(world.word == index ? .taken : .notTaken)
    }

    /// Links whose child's end `index` holds, its own to its parent included.
    private func olderLinks(of index: Int, in world: World) -> [Int] {
        (0..<World.places).filter { world[link: $0].status == .open && world[link: $0].isHeld(by: index) }
    }

    /// Whose signs of life a generation judges, and whom it fences.
    func judged(by index: Int, in world: World) -> Int? {
        guard world.word != World.nobody else { return nil }
        return table.entries[world[process: index].machine].successors[world.word]
    }

    private func push(_ message: Message, up link: Int, in world: inout World) {
        guard world[link: link].status == .open || world[link: link].status == .backlog else { return }
        world[link: link].up.push(message)
    }
    private func push(_ message: Message, down link: Int, in world: inout World) {
        guard world[link: link].status == .open else { return }
        world[link: link].down.push(message)
    }
    private func close(_ link: Int, in world: inout World) {
        world[link: link].status = .closed
        world[link: link].up = Queue()
    }

    /// Exit or SIGKILL: the kernel closes everything.
    func end(_ index: Int, in world: inout World) {
        var gone = Process()
        gone.life = .gone
        world[process: index] = gone
        for link in 0..<World.places {
            world[link: link].holders &= ~(1 << index)
            if world[link: link].status == .open, world[link: link].acceptor == index { close(link, in: &world) }
        }
        tidy(&world)
    }

    /// What nobody can read any more is forgotten, so that equal worlds are equal.
    func tidy(_ world: inout World) {
        for index in 0..<World.places where world[link: index].status != .none {
            var link = world[link: index]
            let reads = link.isHeld(by: index) && world[process: index].isAlive
            if link.status == .backlog, !world.holdsSockets(besides: index) { link.status = .closed; link.up = Queue() }
            // Read by the successor, who only wants to know when the link ends.
            if !reads || !world[process: index].readsParent { link.down = Queue() }
            if link.status == .closed { link.holders &= 1 << index }
            if link.holders == 0, link.status != .open { link = Link() }
            world[link: index] = link
        }
    }
}
