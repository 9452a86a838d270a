import Foundation
import Harness

/// The steps that the build with fault points knows, and what a process is told to do at them.
enum FaultySteps {
    /// In the order in which a restart comes to them.
    static let all = [
        "child.looking", "child.beforeHello", "child.afterHello", "parent.hello", "parent.beforeWelcome", "parent.afterWelcome",
        "parent.afterControlSocket", "parent.afterSockets", "parent.beforeInheritanceEnd", "parent.afterInheritanceEnd",
        "child.welcomed", "child.socketsCame", "child.inheritanceCame", "child.adopting", "child.beforeBlock", "child.blockSent",
        "parent.childBlock", "parent.makingSockets", "parent.madeSockets", "child.extraSocketsCame", "child.opening", "child.opened",
        "child.beforeListen", "child.listening", "child.beforeWord", "child.tookWord", "parent.lostService", "child.accepting",
        "child.beforeReady", "child.afterReady", "parent.ready", "parent.stopping", "parent.beforeDraining", "parent.afterDraining",
        "parent.draining", "child.parentDrains", "child.serving", "parent.beforeBye", "parent.ending", "rollback.beforeWord",
        "rollback.afterWord",
    ]

    /// As they stand in the proxy's sources.
    static let inSources: [String] = {
        let directory = "\(Programs.root)/Sources/proxy"
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        var names: [String] = []
        for file in files.sorted() where file.hasSuffix(".swift") {
            let text = (try? String(contentsOfFile: "\(directory)/\(file)", encoding: .utf8)) ?? ""
            names += text.matches(of: /faultPoint\("([a-zA-Z.]+)"\)/).map { String($0.output.1) }
        }
        return names
    }()

    /// Short enough to wait for, long enough for a busy machine.
    static let deadlines = [
        "welcome=2000", "inheritance=2000", "extraSockets=2000", "warmUp=2000", "parentAnswer=2000", "childInitialization=4000",
        "childReady=2000",
    ].map { "deadline.\($0)" }

    static func environment(_ entries: [String] = []) -> [String: String] { ["PROXY_FAULT": (deadlines + entries).joined(separator: ";")] }
}

extension Scenario {
    /// A chain of generations with fault points; returns where it echoes.
    func faultyChain(_ options: [String] = []) throws -> (ProxyChain, Endpoint) {
        guard FileManager.default.isExecutableFile(atPath: Programs.proxyWithFaults) else {
            throw HarnessError(
                "no \(Programs.proxyWithFaults): swift build --traits FaultPoints --scratch-path .build-faults --product proxy")
        }
        let (chain, echo) = try echoChain(options)
        chain.program = Programs.proxyWithFaults
        return (chain, echo)
    }
}
