import ProxyModel
import Testing

@testable import ProxyAdmin

struct LoggingTests {
    private static let usage = """
        usage: /logging?<name>=<level> (change single level)
        usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
        usage: /logging?level=<level> (change all levels)
        levels: trace debug info notice warning error critical off

        """

    @Test("without a change it lists", arguments: ["/logging", "/logging?level=", "/logging?paths=", "/logging?admin"])
    func list(path: String) {
        let reply = Sample.snapshot().reply("POST", path)
        #expect(reply.response.status == 200 && reply.action == nil)
        #expect(reply.response.text == "active loggers:\n  admin: info\n  config: warning\n")
    }

    @Test(
        "changes are asked for, and shown as if made",
        arguments: [
            ("level=trace", AdminAction.setLogLevel("trace"), "trace", "trace"), ("level=warn", .setLogLevel("warn"), "warning", "warning"),
            ("admin=debug", .setComponentLogLevels([.init(component: "admin", level: "debug")]), "debug", "warning"),
            (
                "paths=admin:off,config:notice",
                .setComponentLogLevels([.init(component: "admin", level: "off"), .init(component: "config", level: "notice")]), "off",
                "notice"
            ),
        ] as [(String, AdminAction, String, String)])
    func change(query: String, action: AdminAction, admin: String, config: String) {
        let reply = Sample.snapshot().reply("POST", "/logging?\(query)")
        #expect(reply.response.status == 200 && reply.action == action)
        #expect(reply.response.text == "active loggers:\n  admin: \(admin)\n  config: \(config)\n")
    }

    @Test(
        "what cannot be done is not done in part",
        arguments: [
            ("level=bogus", "unknown logger level"), ("bogus=info", "unknown logger name"), ("admin=bogus", "unknown logger level"),
            ("paths=admin:debug,bogus:info", "unknown logger name"), ("paths=admin:debug,config:bogus", "unknown logger level"),
            ("paths=admin", "empty logger name or empty logger level"), ("paths=:info", "empty logger name or empty logger level"),
            ("paths=,", "empty logger name or empty logger level"), ("level=LEVEL", "unknown logger level"),
            ("admin=debug&config=trace", "invalid number of parameters"),
            ("group=a:debug", "group parameter requires fine-grain logging, which is not available"),
        ])
    func refused(query: String, problem: String) {
        let reply = Sample.snapshot().reply("POST", "/logging?\(query)")
        #expect(reply.response.status == 400 && reply.action == nil)
        #expect(reply.response.text == "error: \(problem)\n\n\(Self.usage)")
    }
}
