import Testing

@testable import ProxyRestart

/// A generation that serves, with a child, draining, and serving again.
struct ParentTests {
    @Test("a HELLO is welcomed; a second is busy; an epoch not above ours is named")
    func hello() {
        let (machine, effects) = Machines.serving.after(.childHello(epoch: 5))
        #expect(effects == [.note(.childAppeared(epoch: 5)), .sendWelcomeAndInheritance, .arm(.childInitialization)])
        #expect(machine.after(.childHello(epoch: 6)).effects == [.refuseChild(.busy)])
        #expect(machine.child == .initializing(epoch: 5))
        #expect(Machines.serving.after(.childHello(epoch: 4)).effects == [.refuseChild(.epochNotAbove(4, serving: 4))])
        #expect(Machines.stoppingAccept.after(.childHello(epoch: 6)).effects == [.refuseChild(.notServing)])
        #expect(Machines.reclaiming.after(.childHello(epoch: 6)).effects == [.refuseChild(.busy)], "it serves again in a moment")
    }

    @Test("READY: stop accepting, then drain with a rollback window and a force deadline")
    func ready() {
        let (stopping, effects) = Machines.withChild.after(.childReady)
        #expect(effects == [.cancel(.childInitialization), .cancel(.childReady), .note(.childTookOver(epoch: 5)), .stopAccepting])
        #expect(stopping.state == .stoppingAccept && stopping.windowIsOpen && !stopping.serves)
        #expect(
            stopping.after(.acceptStopped).effects
                == [.sendDraining, .note(.drainBegan), .beginDrain, .arm(.rollbackWindow), .arm(.forceClose)])
    }

    // MARK: the child ends before it is ready

    @Test("a child that dies, fails or stops before READY: the word is asked for, the child forgotten", arguments: [
        (RestartEvent.childGone, RestartFailure.childDied), (.childBye(.failed), .childFailed), (.childBye(.stop), .childStopped),
    ])
    func childEnds(event: RestartEvent, failure: RestartFailure) {
        let (machine, effects) = Machines.withChild.after(event)
        #expect(effects == [.cancel(.childInitialization), .cancel(.childReady), .takeServiceBack(from: [5])])
        let (again, restored) = machine.after(.serviceTaken(true))
        #expect(again.state == .serving && again.child == .none)
        #expect(restored.suffix(2) == [.startAccepting, .forgetChild(reason: failure)])
        #expect(again.after(.childHello(epoch: 5)).effects.contains(.sendWelcomeAndInheritance), "the next HELLO is welcome")
    }

    @Test("a child that is too slow or silent is told, fenced and forgotten", arguments: [
        (RestartEvent.timeout(.childInitialization), RestartFailure.childTooSlow), (.childSilent, .childSilent),
        (.timeout(.childReady), .childSilent),
    ])
    func childFenced(event: RestartEvent, failure: RestartFailure) {
        let (machine, effects) = Machines.withChild.after(event)
        #expect(effects.prefix(3) == [.sendBye(.failed, to: .child), .fenceChild, .note(.fenced)])
        #expect(effects.last == .takeServiceBack(from: [5]))
        #expect(machine.after(.serviceTaken(true)).effects.contains(.forgetChild(reason: failure)))
        #expect(Machines.serving.after(event).effects == [], "without a child nothing is to do")
    }

    @Test("a child that has the word and dies before READY is rolled back")
    func childHasWord() {
        let (machine, effects) = Machines.withChild.after(.lostService(to: 5))
        #expect(effects == [.arm(.childReady)])
        #expect(machine.state == .serving && !machine.serves, "it knows that its child has the word")
        let restored = machine.via(.childGone, .serviceTaken(true))
        #expect(restored.serves)
        #expect(
            machine.via(.childGone).after(.serviceTaken(true)).effects.suffix(3)
                == [.startAccepting, .recordRollback(.childDied), .note(.rolledBack(from: 5))])
    }

    @Test("a successor of the child may be the first that a worker finds in the word")
    func childHandedOn() {
        #expect(Machines.withChild.after(.lostService(to: 9)).effects == [.arm(.childReady)])
    }

    // MARK: rollback

    @Test("a child that dies while we drain: we serve again, at any time of the drain", arguments: [
        Machines.stoppingAccept, Machines.draining, Machines.draining.via(.timeout(.rollbackWindow)),
        Machines.draining.via(.timeout(.forceClose)), Machines.draining.via(.drainNow),
    ])
    func rollback(machine: RestartMachine) {
        let (reclaiming, effects) = machine.after(.childGone)
        #expect(effects == [.takeServiceBack(from: [5])])
        let (again, restored) = reclaiming.after(.serviceTaken(true))
        #expect(again.serves && again.child == .none && !again.windowIsOpen && !again.isEmpty)
        #expect(
            restored == [
                .endDrain, .cancel(.rollbackWindow), .cancel(.forceClose), .cancel(.exit), .startAccepting, .recordRollback(.childDied),
                .note(.rolledBack(from: 5)),
            ])
    }

    @Test("a rolled-back generation can be replaced, and drains as if for the first time")
    func afterRollback() {
        let again = Machines.draining.via(.empty, .childGone, .serviceTaken(true))
        let draining = again.via(.childHello(epoch: 6), .childReady, .acceptStopped)
        #expect(draining.state == .draining && draining.windowIsOpen && !draining.isEmpty)
        #expect(draining.after(.timeout(.rollbackWindow)).effects == [])
    }

    @Test("the word is taken from the youngest announced successor first, then from the child")
    func successors() {
        let machine = Machines.draining.via(.successorAnnounced(epoch: 6), .successorAnnounced(epoch: 7), .successorAnnounced(epoch: 6))
        #expect(machine.successors == [7, 6])
        #expect(machine.after(.childGone).effects == [.takeServiceBack(from: [6, 7, 5])])
    }

    @Test("fenced is whichever of the child and its successors has the word, nobody else")
    func fenceTarget() {
        let machine = Machines.draining.via(.successorAnnounced(epoch: 6))
        #expect(machine.successor(whileWordIs: 5) == 5)
        #expect(machine.successor(whileWordIs: 6) == 6)
        #expect(machine.successor(whileWordIs: 9) == nil)
        #expect(Machines.withChild.successor(whileWordIs: 4) == 5)
        #expect(Machines.serving.successor(whileWordIs: 4) == nil)
    }

    @Test("a silent child is fenced in the rollback window, and left alone after it")
    func silentChild() {
        #expect(
            Machines.draining.after(.childSilent).effects == [.fenceChild, .note(.fenced), .takeServiceBack(from: [5])])
        #expect(Machines.draining.via(.timeout(.rollbackWindow)).after(.childSilent).effects == [])
    }

    @Test("a child that says failed after it took over is rolled back; one that was drained is not")
    func childByes() {
        #expect(Machines.draining.after(.childBye(.failed)).effects == [.takeServiceBack(from: [5])])
        #expect(Machines.draining.after(.childBye(.drained)).effects == [])
        #expect(Machines.draining.after(.childBye(.forced)).effects == [])
    }

    @Test("a child that stops on purpose ends us too, also while the word is taken back")
    func childStops() {
        for machine in [Machines.stoppingAccept, Machines.draining, Machines.reclaiming] {
            let (left, effects) = machine.after(.childBye(.stop))
            #expect(left.state == .leaving(0) && effects == [.endDrain, .closeAll, .arm(.exit)])
        }
    }

    @Test("when another generation was quicker we drain on, for a window of its own")
    func lostRace() {
        let (draining, effects) = Machines.reclaiming.after(.serviceTaken(false))
        #expect(draining.state == .draining && draining.windowIsOpen && effects == [.arm(.rollbackWindow)])
        let (stopping, stop) = Machines.withChild.via(.childGone, .serviceTaken(false)).after(.acceptStopped)
        #expect(stopping.state == .draining && stop.contains(.arm(.forceClose)))
    }

    @Test("a force deadline that passes while the word is taken back is not forgotten")
    func forceWhileReclaiming() {
        let (_, effects) = Machines.reclaiming.after(.timeout(.forceClose)).machine.after(.serviceTaken(false))
        #expect(effects.contains(.closeAll) && effects.contains(.arm(.exit)))
    }

    // MARK: drain

    @Test("a drain ends when the last connection is gone and the window over, in either order")
    func drained() {
        let end: [RestartEffect] = [.endDrain, .note(.drained), .sendBye(.drained, to: .child), .exit(0)]
        let emptyFirst = Machines.draining.after(.empty)
        #expect(emptyFirst.effects == [])
        #expect(emptyFirst.machine.after(.timeout(.rollbackWindow)).effects == end)
        let windowFirst = Machines.draining.after(.timeout(.rollbackWindow))
        #expect(windowFirst.effects == [])
        #expect(windowFirst.machine.after(.empty).effects == end)
    }

    @Test("the force deadline, and drain now, close what is left", arguments: [RestartEvent.timeout(.forceClose), .drainNow])
    func forced(event: RestartEvent) {
        let (closing, effects) = Machines.draining.after(event)
        #expect(effects == [.cancel(.rollbackWindow), .cancel(.forceClose), .note(.forced), .closeAll, .arm(.exit)])
        for end in [RestartEvent.closedAll, .timeout(.exit)] {
            #expect(closing.after(end).effects == [.endDrain, .note(.drained), .sendBye(.forced, to: .child), .exit(0)])
        }
        #expect(closing.after(.drainNow).effects == [], "once is enough")
    }

    @Test("drain now before the workers have stopped is done as soon as they have")
    func drainNowEarly() {
        let effects = Machines.stoppingAccept.after(.drainNow).machine.after(.acceptStopped).effects
        #expect(effects.contains(.closeAll) && effects.contains(.sendDraining) && !effects.contains(.arm(.forceClose)))
        #expect(Machines.serving.after(.drainNow).effects == [])
    }

    // MARK: replaced while stopped

    @Test("a generation that was stopped and replaced drains and says why", arguments: [Machines.serving, Machines.announcing])
    func givesWay(machine: RestartMachine) {
        let (stopping, effects) = machine.after(.lostService(to: 3))
        #expect(stopping.state == .stoppingAccept && !stopping.serves)
        #expect(effects.first == .reportFailure(.fencedOut(owner: 3)) && effects.last == .stopAccepting)
        #expect(effects.contains(.cancel(.parentAnswer)) == (machine.state == .announcing))
        #expect(stopping.via(.acceptStopped, .childGone).state == .reclaiming(.childDied), "it can serve again")
    }

    @Test("a generation that was stopped and replaced forgets the child that it was starting")
    func givesWayWithChild() {
        let (stopping, effects) = Machines.withChild.after(.lostService(to: 3))
        #expect(effects.contains(.forgetChild(reason: .fencedOut(owner: 3))) && effects.contains(.cancel(.childInitialization)))
        #expect(stopping.child == .serving(epoch: 3))
        #expect(Machines.draining.after(.lostService(to: 5)).effects == [], "who drains knows")
    }
}
