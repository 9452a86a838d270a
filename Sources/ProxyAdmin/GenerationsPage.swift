import ProxyModel

/// `/generations` and `/restart_report`
enum GenerationsPage {
    static func response(_ snapshot: AdminSnapshot) -> AdminResponse {
        let generations = snapshot.generations()
        let serving = generations.first { $0.state == "serving" }?.epoch
        return .json(
            .object([
                .init("serving_epoch", serving.map { .number($0) } ?? .null),
                .init("restart_in_progress", .bool(snapshot.server.restartInProgress)),
                .init("generations", .array(generations.map { status($0, now: snapshot.server.nowUnixMs) })),
            ]))
    }

    static func restartReport(_ snapshot: AdminSnapshot) -> AdminResponse { .json(.raw(snapshot.restartReport() ?? "{}")) }

    private static func status(_ generation: GenerationStatus, now: UInt64) -> JSONValue {
        .object([
            .init("epoch", .number(generation.epoch)), .init("pid", .number(generation.pid)), .init("state", .string(generation.state)),
            .init("version", .string(generation.version)),
            .init("started", .string(UTCTime(unixMilliseconds: generation.startedUnixMs).rfc3339)),
            .init("connections", .number(generation.connections)),
            .init("oldest_connection_ms", .number(generation.oldestConnectionMs)),
            .init("drain_ends", generation.drainEndsUnixMs.map { .string(UTCTime(unixMilliseconds: $0).rfc3339) } ?? .null),
            .init("drain_left_s", generation.drainEndsUnixMs.map { .number($0 > now ? ($0 - now) / 1000 : 0) } ?? .null),
            .init("config_hash", .string(String(generation.configHash, radix: 16))),
        ])
    }
}
