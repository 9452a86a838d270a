import ProxyModel

/// `/`: one page without outside files, readable in a text browser.
enum HomePage {
    static func response(_ snapshot: AdminSnapshot) -> AdminResponse {
        let server = snapshot.server
        let title = "proxy: generation \(server.epoch), \(server.state.text)"
        let parts = [
            "<h1>\(escaped(title))</h1>",
            "<p>pid \(server.pid), version \(escaped(ProductVersion.number)), up \(duration(server.uptimeS))"
                + ", since the first generation \(duration(server.uptimeAllEpochsS))"
                + (server.restartInProgress ? ", <b>restart in progress</b>" : "") + "</p>",
            generations(snapshot), listeners(snapshot), clusters(snapshot), lastRestart(snapshot), commands,
        ]
        return AdminResponse(contentType: AdminResponse.html, page(title: title, body: parts.joined(separator: "\n")))
    }

    static func page(title: String, body: String) -> String {
        """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><title>\(escaped(title))</title>
        <style>body{font-family:sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}\
        td,th{border:1px solid #999;padding:.2em .6em;text-align:left}form{display:inline}</style></head>
        <body>
        \(body)
        </body></html>

        """
    }

    private static func generations(_ snapshot: AdminSnapshot) -> String {
        let now = snapshot.server.nowUnixMs
        let rows = snapshot.generations().map { generation in
            [
                String(generation.epoch), String(generation.pid), generation.state, String(generation.connections),
                generation.connections == 0 ? "" : duration(generation.oldestConnectionMs / 1000),
                generation.drainEndsUnixMs.map { $0 > now ? "in \(duration(($0 - now) / 1000))" : "now" } ?? "",
            ]
        }
        return section("Generations", ["epoch", "pid", "state", "connections", "oldest", "closed by force"], rows)
    }

    private static func listeners(_ snapshot: AdminSnapshot) -> String {
        section(
            "Listeners", ["name", "addresses"], snapshot.listeners().map { [$0.name, $0.addresses.map(\.text).joined(separator: ", ")] })
    }

    private static func clusters(_ snapshot: AdminSnapshot) -> String {
        let rows = snapshot.clusters().flatMap { cluster in
            cluster.hosts.map {
                [
                    cluster.name, $0.address.text, $0.isHealthy ? "healthy" : "unhealthy", String($0.active), String($0.total),
                    String($0.connectFailures),
                ]
            }
        }
        return section("Clusters", ["cluster", "host", "health", "active", "total", "failed connects"], rows)
    }

    private static func lastRestart(_ snapshot: AdminSnapshot) -> String {
        guard let report = snapshot.restartReport() else { return "<h2>Last restart</h2>\n<p>none yet</p>" }
        return "<h2>Last restart</h2>\n<pre>\(escaped(JSONValue.raw(report).pretty))</pre>"
    }

    private static var commands: String {
        let items = AdminRouter.routes.sorted { $0.path < $1.path }.map { route in
            let name = escaped(route.path)
            let form =
                "<form method=\"post\" action=\"\(name)\" onsubmit=\"return confirm('POST \(name)?')\"><button>\(name)</button></form>"
            let link = route.mutates ? form : "<a href=\"\(name)\">\(name)</a>"
            return "<li>\(link) \(escaped(route.help))</li>"
        }
        return "<h2>Commands</h2>\n<ul>\n\(items.joined(separator: "\n"))\n</ul>"
    }

    private static func section(_ title: String, _ head: [String], _ rows: [[String]]) -> String {
        guard !rows.isEmpty else { return "<h2>\(title)</h2>\n<p>none</p>" }
        func row(_ cells: [String], _ tag: String) -> String {
            "<tr>" + cells.map { "<\(tag)>\(escaped($0))</\(tag)>" }.joined() + "</tr>\n"
        }
        return "<h2>\(title)</h2>\n<table>\n\(row(head, "th"))\(rows.map { row($0, "td") }.joined())</table>"
    }

    /// `3h12m`, `9m18s`, `4s`
    static func duration(_ seconds: UInt64) -> String {
        switch seconds {
        case 86_400...: "\(seconds / 86_400)d\(seconds % 86_400 / 3600)h"
        case 3600...: "\(seconds / 3600)h\(seconds % 3600 / 60)m"
        case 60...: "\(seconds / 60)m\(seconds % 60)s"
        default: "\(seconds)s"
        }
    }

    static func escaped(_ text: String) -> String {
        var out = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case "'": out += "&#39;"
            default: out.unicodeScalars.append(character)
            }
        }
        return out
    }
}
