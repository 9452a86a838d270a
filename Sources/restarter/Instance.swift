import ProxyCore
import ProxyModel

/// What runs under one base id: asked for, never guessed from files or process lists.
struct Instance {
    enum Holder<Status> {
        case nobody
        case running(Status, Link.Peer)
        /// Holds the name, but cannot be spoken to; the text says who and why.
        case unusable(String)
    }

    var proxy = Holder<ProxyStatus>.nobody
    var supervisor = Holder<SupervisorStatus>.nobody

    static func ask(_ names: ControlNames, loop: MainLoop, completion: @escaping (Instance) -> Void) {
        query(names.supervisor, SupervisorStatus.self, loop) { supervisor in
            query(names.proxy, ProxyStatus.self, loop) { completion(Instance(proxy: $0, supervisor: supervisor)) }
        }
    }

    static func query<Status: Decodable>(
        _ name: String, _ type: Status.Type, _ loop: MainLoop, completion: @escaping (Holder<Status>) -> Void
    ) {
        ControlRequest.send(.query, to: name, loop: loop) { outcome in
            switch outcome {
            case .nobody: completion(.nobody)
            case .answer(let packet, let peer, _):
                if let status = try? packet.json(type) { return completion(.running(status, peer)) }
                completion(.unusable("pid \(peer.pid), which holds \(name), gave an answer that makes no sense"))
            case .silent(let pid):
                let who = pid.map { "pid \($0)" } ?? "somebody"
                completion(.unusable("\(who) holds \(name) and did not answer within \(Durations.rough(ControlRequest.deadlineMs))"))
            case .stranger(let peer): completion(.unusable("\(name) is held by pid \(peer.pid) of another user (\(peer.uid))"))
            case .failed(let error): completion(.unusable("cannot ask on \(name): \(error)"))
            }
        }
    }
}
