import Foundation

/// Asks a proxy's admin server, one connection per request.
public struct AdminClient: Sendable {
    public struct Response: Sendable {
        public let status: Int
        public let head: String
        public let body: String
    }

    public let endpoint: Endpoint
    public init(_ endpoint: Endpoint) { self.endpoint = endpoint }

    public func get(_ path: String, within seconds: Double = 5) throws -> Response { try request("GET", path, within: seconds) }
    public func post(_ path: String, within seconds: Double = 5) throws -> Response { try request("POST", path, within: seconds) }

    private func request(_ method: String, _ path: String, within seconds: Double) throws -> Response {
        let socket = try TestSocket(endpoint, within: seconds)
        defer { socket.close() }
        let text = "\(method) \(path) HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        try socket.send(Array(text.utf8))
        return try Self.parse(try socket.receiveAll())
    }

    private static func parse(_ bytes: [UInt8]) throws -> Response {
        let data = Data(bytes)
        guard let end = data.range(of: Data("\r\n\r\n".utf8)) else { throw HarnessError("admin: no response head in \(bytes.count) bytes") }
        let head = String(decoding: data[..<end.lowerBound], as: UTF8.self)
        guard let status = head.split(separator: " ").dropFirst().first.flatMap({ Int($0.prefix(3)) }) else {
            throw HarnessError("admin: no status in '\(head.prefix(80))'")
        }
        var body = Data(data[end.upperBound...])
        if head.lowercased().contains("transfer-encoding: chunked") { body = try dechunk(body) }
        return Response(status: status, head: head, body: String(decoding: body, as: UTF8.self))
    }

    private static func dechunk(_ data: Data) throws -> Data {
        var rest = data
        var out = Data()
        while let line = rest.range(of: Data("\r\n".utf8)) {
            guard let size = Int(String(decoding: rest[..<line.lowerBound], as: UTF8.self), radix: 16) else { break }
            if size == 0 { return out }
            guard rest.distance(from: line.upperBound, to: rest.endIndex) >= size + 2 else { break }
            out += rest[line.upperBound..<line.upperBound + size]
            rest = rest[(line.upperBound + size + 2)...]
        }
        throw HarnessError("admin: broken chunked body")
    }

    // MARK: - What tests ask

    public func isReady() -> Bool { (try? get("/ready", within: 1))?.status == 200 }

    /// Epoch of whoever answers, nil if nobody does or it is not live.
    public func servingEpoch() -> UInt64? {
        struct Info: Decodable {
            struct Options: Decodable {
                let restartEpoch: UInt64
                enum CodingKeys: String, CodingKey { case restartEpoch = "restart_epoch" }
            }
            let state: String
            let options: Options
            enum CodingKeys: String, CodingKey {
                case state
                case options = "command_line_options"
            }
        }
        guard let response = try? get("/server_info", within: 1),
            let info = try? JSONDecoder().decode(Info.self, from: Data(response.body.utf8))
        else { return nil }
        return info.state == "LIVE" ? info.options.restartEpoch : nil
    }

    /// Processes that are down as serving; those that died a moment ago may be among them.
    public func servingPids() -> [Int32] {
        struct Page: Decodable {
            struct Generation: Decodable { let pid: Int32, state: String }
            let generations: [Generation]
        }
        guard let text = try? get("/generations", within: 1).body,
            let page = try? JSONDecoder().decode(Page.self, from: Data(text.utf8))
        else { return [] }
        return page.generations.filter { $0.state == "serving" }.map(\.pid)
    }

    /// All counters and gauges, or those of one type.
    public func stats(type: String? = nil) throws -> [String: Int] {
        let response = try get("/stats?format=text\(type.map { "&type=\($0)" } ?? "")")
        guard response.status == 200 else { throw HarnessError("admin: /stats gave \(response.status)") }
        var values: [String: Int] = [:]
        for line in response.body.split(separator: "\n") {
            guard let colon = line.range(of: ": ", options: .backwards) else { continue }
            values[String(line[..<colon.lowerBound])] = Int(line[colon.upperBound...])
        }
        return values
    }

    /// name → addresses, from the text form of /listeners.
    public func listeners() throws -> [String: [String]] {
        var found: [String: [String]] = [:]
        for line in try get("/listeners").body.split(separator: "\n") {
            guard let mark = line.range(of: "::") else { continue }
            found[String(line[..<mark.lowerBound]), default: []].append(String(line[mark.upperBound...]))
        }
        return found
    }
}
