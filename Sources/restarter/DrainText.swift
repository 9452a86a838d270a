import ProxyModel

/// How far a drain is, in words.
enum DrainText {
    /// "128 connections left, oldest 3h12m on edge, forced in 9m18s"
    static func progress(_ drain: SupervisionEvent.Draining) -> String {
        var parts = [left(drain.connections)]
        if drain.connections > 0, let oldest = drain.oldestMs {
            parts.append("oldest \(Durations.rough(oldest))" + (drain.listener.map { " on \($0)" } ?? ""))
        }
        if let end = drain.endsInMs { parts.append("forced in \(Durations.rough(end))") }
        return parts.joined(separator: ", ")
    }

    static func left(_ connections: UInt64) -> String { "\(connections) \(connections == 1 ? "connection" : "connections") left" }

    static func line(_ drain: SupervisionEvent.Draining) -> String { "generation \(drain.epoch) drains: \(progress(drain))" }
}
