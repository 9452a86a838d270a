import Foundation

/// A PostgreSQL server of a test: a real upstream, with clients that did not come from here.
public struct PostgresServer {
    public let endpoint: Endpoint
    private let scenario: Scenario

    /// Where Debian and others put initdb and postgres; nil where there is none.
    private static let programs: String? = {
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        let newestFirst = versions.sorted { (Double($0) ?? 0) > (Double($1) ?? 0) }.map { "/usr/lib/postgresql/\($0)/bin" }
        return (newestFirst + ["/usr/local/bin", "/usr/bin"]).first { FileManager.default.isExecutableFile(atPath: "\($0)/initdb") }
    }()
    private static func client(_ name: String) -> String? {
        (["/usr/bin", "/usr/local/bin"] + [programs].compactMap { $0 }).map { "\($0)/\(name)" }.first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
    }
    /// With its clients psql and pgbench.
    public static var isInstalled: Bool { programs != nil && client("psql") != nil && client("pgbench") != nil }

    /// A fresh cluster in the scenario's directory, running.
    public init(_ scenario: Scenario) throws {
        guard let programs = Self.programs, case let port = try scenario.port() else { throw HarnessError("PostgreSQL is not installed") }
        self.scenario = scenario
        endpoint = .v4(port)
        let directory = "\(scenario.directory)/postgres"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let prefix = try Self.unprivileged(owning: directory)
        let initdb = prefix + ["\(programs)/initdb", "-D", directory, "-U", "test", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"]
        let made = try scenario.run(initdb[0], Array(initdb.dropFirst()), name: "initdb", within: 60)
        guard made.status == .exited(0) else { throw HarnessError("initdb: \(made.status)\n\(made.log)") }
        let serve =
            prefix + ["\(programs)/postgres", "-D", directory, "-h", "127.0.0.1", "-p", "\(port)", "-k", directory]
            + ["fsync=off", "max_connections=200"].flatMap { ["-c", $0] }
        let server = try scenario.start(serve[0], Array(serve.dropFirst()), name: "postgres")
        try server.waitForLog("ready to accept connections", within: 30)
    }

    /// What comes before a command to run it as somebody who may run a database: root may not.
    private static func unprivileged(owning directory: String) throws -> [String] {
        guard geteuid() == 0 else { return [] }
        guard let user = getpwnam("postgres") ?? getpwnam("nobody") else { throw HarnessError("neither user postgres nor nobody exists") }
        let (uid, gid) = (user.pointee.pw_uid, user.pointee.pw_gid)
        chown(directory, uid, gid)
        return ["/usr/bin/setpriv", "--reuid=\(uid)", "--regid=\(gid)", "--clear-groups", "--"]
    }

    private func words(_ place: Endpoint) throws -> [String] {
        guard case .v4(let port) = place else { throw HarnessError("PostgreSQL's clients are given an IPv4 port") }
        return ["-h", "127.0.0.1", "-p", "\(port)", "-U", "test"]
    }

    public func pgbench(_ place: Endpoint, _ options: [String]) throws -> ChildProcess {
        try scenario.start(Self.client("pgbench") ?? "", try words(place) + options + ["postgres"], name: "pgbench")
    }

    /// One connection, one statement, its result.
    public func psql(_ place: Endpoint, _ statement: String) throws -> (status: ExitStatus, output: String, log: String) {
        try scenario.run(Self.client("psql") ?? "", try words(place) + ["-X", "-A", "-t", "-c", statement, "postgres"], name: "psql")
    }
}
