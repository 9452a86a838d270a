import Foundation
import Harness
import ProxyCore
import ProxyModel
import Testing

extension EndToEnd {
    /// Whoever comes to the control socket, and whatever they say there: no harm, no leak, a line in the log.
    @Suite struct ControlSocketPeers {
        private func serve(_ name: String, seconds: Double = 60, _ body: (Scenario, ProxyChain, Endpoint) throws -> Void) throws {
            try scenario(name, seconds: seconds) { s in
                let (chain, echo) = try s.echoChain()
                try chain.start()
                // What is made once and kept is made now.
                try TestSocket(echo).echo()
                let before = Holdings(chain.serving.pid)
                try body(s, chain, echo)
                let first = chain.generations[0]
                try eventually("as many descriptors as before (\(before))", within: 15) {
                    let now = Holdings(first.pid)
                    return now.descriptors <= before.descriptors
                }
                let after = Holdings(first.pid)
                s.check(after.residentKiB < before.residentKiB + 8192, "memory: before \(before), after \(after)")
                try TestSocket(echo).echo()
                try chain.restart()
                try TestSocket(echo).echo()
                try chain.stop()
            }
        }

        @Test func garbageIsRefusedAndLogged() throws {
            try serve("garbage on the control socket") { s, chain, _ in
                var random = Seeded(seed: 1)
                for _ in 0..<300 {
                    let peer = try ControlPeer(s)
                    let length = Int.random(in: 1...4000, using: &random)
                    _ = peer.sendBytes((0..<length).map { _ in UInt8.random(in: 0...255, using: &random) })
                    try peer.waitForEnd()
                }
                s.checkContains(chain.serving.log, "control link closed", "the log")
            }
        }

        @Test func everyPartOfAMessageIsRefused() throws {
            try serve("half messages") { s, chain, _ in
                let whole = try ControlPeer.hello(epoch: 1).encoded()
                for length in 1..<whole.count {
                    let peer = try ControlPeer(s)
                    peer.sendBytes(Array(whole.prefix(length)))
                    try peer.waitForEnd()
                }
                s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
                s.checkEqual(try chain.admin.stats()["server.restart_attempts"], 0, "attempts counted")
            }
        }

        @Test func messagesOutOfPlaceAreRefused() throws {
            try serve("messages out of place") { s, chain, _ in
                for type in [MessageType.welcome, MessageType.ready, MessageType.successor, MessageType.bye, 999] {
                    let peer = try ControlPeer(s)
                    try peer.send(Packet(type: type))
                    try peer.waitForEnd()
                }
                // HELLOs that lack something, ask for too much or know fields that must be understood.
                var required = ControlPeer.hello(epoch: 1)
                required.put(0x8777, 1)
                for (packet, reason) in [(Packet(type: MessageType.hello), "incomplete"), (required, "required field 34679")] {
                    let peer = try ControlPeer(s)
                    try peer.send(packet)
                    let answer = try peer.receive()
                    s.checkEqual(answer.type, MessageType.refused, "the answer's type")
                    s.checkContains(answer.text(Tag.text) ?? "", reason, "the refusal")
                }
                s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
            }
        }

        @Test func tenThousandConnectionsKeepNobodyOut() throws {
            try raiseDescriptorLimit(to: 10_500)
            try serve("ten thousand links") { s, chain, _ in
                var peers: [ControlPeer] = []
                for _ in 0..<10_000 { peers.append(try ControlPeer(s)) }
                let status = try s.run(Programs.restarter, ["status"] + chain.identity, name: "status")
                s.checkEqual(status.status, .exited(0), "status among ten thousand links: \(status.log)")
                try eventually("most links to be dropped") { Holdings(chain.serving.pid).descriptors < 120 }
                try chain.restart()
                peers.removeAll()
            }
        }

        @Test func aSilentPeerIsDropped() throws {
            try serve("a silent peer") { s, _, _ in
                let peer = try ControlPeer(s)
                try peer.waitForEnd(within: 20)
            }
        }

        @Test func descriptorsThatNobodyAskedForAreClosed() throws {
            try serve("too many descriptors") { s, _, _ in
                let null = try Descriptor.null()
                for type in [MessageType.query, MessageType.welcome, MessageType.hello] {
                    for _ in 0..<20 {
                        var packet = Packet(type: type)
                        for _ in 0..<253 { packet.descriptors.append(try .copy(of: null.fd)) }
                        let peer = try ControlPeer(s)
                        try peer.send(packet)
                        _ = try? peer.receive(within: 2)
                    }
                }
            }
        }

        /// Answers wait for whoever asked, so one who asks without end and never reads would have us fill our memory with them.
        @Test func whoAsksAndDoesNotReadIsDropped() throws {
            try serve("questions without reading") { s, chain, _ in
                let question = try Packet(type: MessageType.query).encoded()
                for _ in 0..<8 {
                    let peer = try ControlPeer(s)
                    try eventually("the peer to be dropped") {
                        for _ in 0..<100 where !peer.sendBytes(question) { return peer.isCut }
                        return peer.isCut
                    }
                    try eventually("others to be heard") { chain.admin.servingEpoch() == 0 }
                }
                s.checkContains(chain.serving.log, "the peer does not read", "the log")
            }
        }

        @Test(.enabled(if: getuid() == 0, "another user is needed")) func strangersAreTurnedAwayAndLeaveNothing() throws {
            try serve("strangers") { s, chain, _ in
                let asNobody = Stranger.prefix + [Programs.restarter, "stop"] + chain.identity
                for _ in 0..<3 {
                    let asked = try s.run(Stranger.setpriv, asNobody, name: "stranger", within: 30)
                    s.check(asked.status != .exited(0), "a stranger's stop: \(asked.status)")
                }
                s.checkContains(chain.serving.log, "peer.uid=\(Stranger.uid)", "the log")
            }
        }

        @Test func wrongDescriptorsFromAChildAreClosedAndNamed() throws {
            try serve("a child's wrong descriptors") { s, chain, _ in
                let failures = try chain.admin.stats()["server.restart_failures"] ?? -1
                let peer = try ControlPeer(s)
                try peer.send(ControlPeer.hello(epoch: 1))
                s.checkEqual(try peer.receive().type, MessageType.welcome, "the answer to HELLO")
                var block = Packet(type: MessageType.childBlock)
                block.descriptors = try DescriptorKind.every(in: s, but: []).map(\.descriptor)
                // One that is what it should be, but of a generation that is not the sender.
                block.descriptors.append(try .statisticsBlock(epoch: 7))
                try peer.send(block)
                try chain.serving.waitForLog("not a memory file")
                try chain.serving.waitForLog("it is of epoch 7, wanted 1")
                peer.link.hangUp()
                try eventually("the end of the attempt") { try chain.admin.stats()["server.restart_failures"] == failures + 1 }
            }
        }

        /// Sockets that a child has made for it cost the parent descriptors, and the parent has clients to serve.
        @Test func aChildThatWantsSocketsWithoutEndLeavesRoomForClients() throws {
            try scenario("sockets without end", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                guard case .v4(let port) = echo else { return }
                chain.launcher = ["/usr/bin/prlimit", "--nofile=400:400", "--"]
                try chain.start()
                try TestSocket(echo).echo()
                let before = Holdings(chain.serving.pid)
                let peer = try ControlPeer(s)
                try peer.send(ControlPeer.hello(epoch: 1))
                s.checkEqual(try peer.receive().type, MessageType.welcome, "the answer to HELLO")
                var request = Packet(type: MessageType.makeSockets)
                request.put(Tag.address, [2, 0, UInt8(port >> 8), UInt8(port & 255), 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
                request.put(Tag.count, 50)
                for _ in 0..<50 { try peer.send(request) }
                try chain.serving.waitForLog("descriptors of 400 are in use; raise ulimit -n")
                let sockets = try (0..<20).map { _ in try TestSocket(echo) }
                for socket in sockets { try socket.echo("served meanwhile") }
                peer.link.hangUp()
                try eventually("as many descriptors as before") { Holdings(chain.serving.pid).descriptors <= before.descriptors + 20 }
                chain.launcher = []
                try chain.restart()
                try chain.stop()
            }
        }

        /// A child that says HELLO and then nonsense: the attempt ends, and the next one succeeds.
        @Test func nonsenseFromAChildEndsTheAttempt() throws {
            try serve("nonsense from a child") { s, chain, _ in
                var socketless = Packet(type: MessageType.makeSockets)
                socketless.put(Tag.address, [1, 2, 3])
                var block = Packet(type: MessageType.childBlock)
                block.descriptors = [try .null()]
                var unknown = Packet(type: MessageType.ready)
                unknown.put(0x8999, 1)
                for (what, packet) in [("a broken request", socketless), ("a block that is none", block), ("an unknown field", unknown)] {
                    let failures = try chain.admin.stats()["server.restart_failures"] ?? -1
                    let peer = try ControlPeer(s)
                    try peer.send(ControlPeer.hello(epoch: 1))
                    s.checkEqual(try peer.receive().type, MessageType.welcome, "the answer to HELLO")
                    try peer.send(packet)
                    peer.sendBytes([1, 2, 3])
                    try eventually("the end of the attempt after \(what)") {
                        try chain.admin.stats()["server.restart_failures"] == failures + 1
                    }
                }
                s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
            }
        }

        /// READY from somebody who has not taken the word of who serves would leave nobody accepting.
        @Test func readyWithoutTheWordIsNotBelieved() throws {
            try serve("READY without the word") { s, chain, echo in
                let peer = try ControlPeer(s)
                try peer.send(ControlPeer.hello(epoch: 1))
                s.checkEqual(try peer.receive().type, MessageType.welcome, "the answer to HELLO")
                try peer.send(Packet(type: MessageType.ready))
                try peer.waitForEnd()
                try TestSocket(echo).echo("still served")
                s.checkEqual(chain.admin.servingEpoch(), 0, "who serves")
            }
        }
    }

    /// A child meets something under the control name that is no good parent: it gives up, says why, and does no harm.
    @Suite struct BadParents {
        /// Answers the survey, takes HELLO, and has `body` do the rest. Returns the child as it ended.
        func meet(
            _ s: Scenario, _ chain: ProxyChain, within seconds: Double = 30, _ body: (ControlPeer) throws -> Void
        ) throws -> ChildProcess {
            let socket = try ControlSocket.bind(s.controlName, mode: 0o600)
            try socket.listen()
            let child = try chain.launch(["--restart-epoch"])
            var held: [ControlPeer] = []
            try eventually("the child to end", within: seconds) {
                if let link = socket.accept() {
                    let peer = ControlPeer(link)
                    switch try peer.receive(within: 5).type {
                    case MessageType.query:
                        var status = ProxyStatus()
                        status.pid = getpid()
                        try peer.send(Packet(type: MessageType.answer, json: status))
                    case MessageType.hello: try body(peer)
                    default: break
                    }
                    held.append(peer)
                }
                return child.exitStatus() != nil
            }
            return child
        }

        func welcome(_ controlBlock: Descriptor, queue: [Descriptor] = []) -> Packet {
            var packet = Packet(type: MessageType.welcome)
            packet.put(Tag.versionMax, UInt64(Protocol.newest))
            packet.put(Tag.capabilities, Capabilities.all.rawValue)
            packet.put(Tag.epoch, 0)
            packet.descriptors = [controlBlock] + queue
            return packet
        }

        func end(_ count: UInt64) -> Packet {
            var packet = Packet(type: MessageType.inheritanceEnd)
            packet.put(Tag.count, count)
            return packet
        }

        /// Label of a listening socket as the proxy writes it: index, address index, worker index, length of the address, address, name.
        func sockets(_ descriptors: [Descriptor]) throws -> Packet {
            var packet = Packet(type: MessageType.sockets)
            let address: [UInt8] = [2, 0, 0x5b, 0xa0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
            for _ in descriptors {
                packet.put(Tag.socket, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, UInt8(address.count), 0, 0, 0] + address + Array("echo".utf8))
            }
            packet.descriptors = descriptors
            return packet
        }

        @Test func aParentThatHangsUpIsNotGreetedForEver() throws {
            try scenario("a parent that hangs up", seconds: 60) { s in
                let (chain, _) = try s.echoChain()
                var greeted = 0
                let socket = try ControlSocket.bind(s.controlName, mode: 0o600)
                try socket.listen()
                let child = try chain.launch(["--restart-epoch"])
                try eventually("the child to give up", within: 30, every: 0.001) {
                    if let link = socket.accept() {
                        let peer = ControlPeer(link)
                        if try peer.receive(within: 5).type == MessageType.query {
                            try peer.send(Packet(type: MessageType.answer, json: ProxyStatus()))
                        } else {
                            greeted += 1
                        }
                    }
                    return child.exitStatus() != nil
                }
                s.checkEqual(child.exitStatus(), .exited(1), "the child")
                s.checkContains(child.log, "the serving generation does not answer: it hangs up", "the reason")
                s.check((2...2000).contains(greeted), "greeted \(greeted) times")
            }
        }

        @Test func wrongDescriptorsOfTheWelcomeAreRefused() throws {
            try scenario("wrong descriptors in WELCOME", seconds: 60) { s in
                let (chain, _) = try s.echoChain()
                let null = try Descriptor.null()
                let child = try meet(s, chain) { peer in
                    try peer.send(welcome(null))
                    try peer.send(end(0))
                }
                s.checkEqual(child.exitStatus(), .exited(1), "a control block that is /dev/null")
                s.checkContains(child.log, "not a memory file", "what it says")
                let odd = try meet(s, chain) { peer in try peer.send(welcome(null, queue: [null])) }
                s.checkEqual(odd.exitStatus(), .exited(1), "a queue of one descriptor")
                let none = try meet(s, chain) { peer in
                    var packet = welcome(null)
                    packet.descriptors = []
                    try peer.send(packet)
                }
                s.checkEqual(none.exitStatus(), .exited(1), "no descriptors at all")
            }
        }

        @Test func wrongListeningSocketsAreRefused() throws {
            try scenario("wrong listening sockets", seconds: 90) { s in
                let (chain, _) = try s.echoChain()
                let block = try Self.controlBlock()
                for (what, descriptor) in try DescriptorKind.every(in: s, but: [.boundTCP, .boundStream]) {
                    let child = try meet(s, chain) { peer in
                        try peer.send(welcome(try .copy(of: block.fd)))
                        try peer.send(try sockets([descriptor]))
                        try peer.send(end(1))
                    }
                    s.checkEqual(child.exitStatus(), .exited(1), what)
                    s.checkContains(child.log, "PX-R027", what)
                }
                // A label too many, and a count that does not match.
                let labels = try meet(s, chain) { peer in
                    try peer.send(welcome(try .copy(of: block.fd)))
                    var packet = try sockets([try .null()])
                    packet.put(Tag.socket, [1, 2, 3])
                    try peer.send(packet)
                }
                s.checkEqual(labels.exitStatus(), .exited(1), "two labels for one descriptor")
                let count = try meet(s, chain) { peer in
                    try peer.send(welcome(try .copy(of: block.fd)))
                    try peer.send(end(7))
                }
                s.checkEqual(count.exitStatus(), .exited(1), "0 of 7 sockets")
                s.checkContains(count.log, "0 of 7 listening sockets came", "what it says")
            }
        }

        static func controlBlock() throws -> ControlBlock {
            do { return try ControlBlock.create(serving: 0) } catch { throw HarnessError("\(error)") }
        }
    }

    /// Whoever starts a proxy where one serves, or where one has been.
    @Suite struct SecondStarts {
        @Test func aSecondStartByMistakeIsToldWhoServesAndBothWaysOn() throws {
            try scenario("second start by mistake", seconds: 40) { s in
                let (chain, _) = try s.echoChain()
                try chain.start()
                let second = try chain.launch()
                s.checkEqual(try second.waitForExit(), .exited(1), "the second start")
                for text in ["pid \(chain.serving.pid) serves already, with epoch 0", "--restart-epoch", "--base-id"] {
                    s.checkContains(second.log, text, "what it says")
                }
                try chain.restart()
                try chain.stop()
            }
        }

        @Test func epochsAreTakenInAllForms() throws {
            try scenario("epochs", seconds: 60) { s in
                let (chain, _) = try s.echoChain()
                try chain.start(["--restart-epoch", "0"])
                for (words, serving) in [(["--restart-epoch", "3"], UInt64(3)), (["--restart-epoch=7"], 7), (["--restart-epoch"], 8)] {
                    try chain.adopt(try chain.launch(words), epoch: serving, within: 15)
                }
                for low in ["0", "7", "8"] {
                    let child = try chain.launch(["--restart-epoch", low])
                    s.checkEqual(try child.waitForExit(), .exited(1), "epoch \(low)")
                    s.checkContains(child.log, "restart epoch \(low) is not above the serving epoch 8", "epoch \(low)")
                    s.checkContains(child.log, "Give --restart-epoch 9", "epoch \(low)")
                }
                for nonsense in ["x", "99999999999999999999999", "1.5"] {
                    s.checkEqual(try chain.launch(["--restart-epoch=\(nonsense)"]).waitForExit(), .exited(64), "epoch \(nonsense)")
                }
                let alone = try s.run(
                    Programs.proxy,
                    ["--base-id", "\(s.baseID + 50)", "--socket-path", s.socketPath, "--restart-epoch", "4", "-c", chain.configPath],
                    name: "alone")
                s.checkEqual(alone.status, .exited(1), "epoch 4 where nothing serves")
                s.checkContains(alone.log, "--skip-hot-restart-on-no-parent", "the way on")
                s.checkEqual(chain.admin.servingEpoch(), 8, "who serves")
                try chain.stop()
            }
        }

        @Test func aSecondChildIsToldThatThereIsAFirst() throws {
            try scenario("busy", seconds: 40) { s in
                let (chain, _) = try s.faultyChain()
                try chain.start()
                let first = try chain.launch(["--restart-epoch"], environment: ["PROXY_FAULT": "child.opening=delay:3000"])
                try first.waitForLog("fault point child.opening")
                let second = try chain.launch(["--restart-epoch"])
                s.checkEqual(try second.waitForExit(), .exited(75), "the second child")
                s.checkContains(second.log, "previous generation is still initializing", "what it says")
                s.checkContains(second.log, "Try again", "what it says")
                try chain.adopt(first, epoch: 1, within: 15)
                try chain.stop()
            }
        }

        @Test func thePathOfACrashedProxyIsReplaced() throws {
            try scenario("stale path", seconds: 60) { s in
                s.socketPath = "\(s.directory)/control"
                let (chain, echo) = try s.echoChain(["--socket-mode", "640"])
                for _ in 1...2 {
                    let proxy = try chain.start()
                    s.checkEqual(try mode(s.controlName), 0o640, "mode of the path")
                    proxy.signal(SIGKILL)
                    try proxy.waitForExit()
                    s.check(FileManager.default.fileExists(atPath: s.controlName), "the path of the crashed proxy is left behind")
                }
                try chain.start()
                try chain.restart()
                try TestSocket(echo).echo()
                let second = try chain.launch()
                s.checkEqual(try second.waitForExit(), .exited(1), "a second start beside it")
                chain.serving.signal(SIGTERM)
                try chain.serving.waitForExit()
                s.check(!FileManager.default.fileExists(atPath: s.controlName), "a proxy that stops removes its path")
            }
        }

        private func mode(_ path: String) throws -> Int {
            (try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int) ?? -1
        }

        @Test(.enabled(if: getuid() == 0, "another user is needed")) func anotherUsersProxyIsNamedAndLeftAlone() throws {
            try scenario("another user's proxy", seconds: 60) { s in
                let (chain, echo) = try s.echoChain()
                let words = Stranger.prefix + [Programs.proxy] + chain.identity + ["-c", chain.configPath]
                let theirs = try s.start(Stranger.setpriv, words, name: "theirs")
                try eventually("theirs to serve") { chain.admin.servingEpoch() == 0 }
                for options in [[], ["--restart-epoch"]] {
                    let ours = try chain.launch(options)
                    s.checkEqual(try ours.waitForExit(), .exited(1), "ours with \(options)")
                    s.checkContains(ours.log, "is held by pid \(theirs.pid) of another user (\(Stranger.uid))", "ours with \(options)")
                    s.checkContains(ours.log, "--base-id", "the way on")
                }
                try TestSocket(echo).echo("theirs serves on")
                theirs.signal(SIGTERM)
                s.checkEqual(try theirs.waitForExit(), .exited(0), "theirs")
            }
        }
    }
}

extension Link {
    /// The end of the link, while this process may still hold its descriptor.
    func hangUp() { shutdown(fd, Int32(SHUT_RDWR)) }
}

/// Random numbers that are the same in every run.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
