import Testing

@testable import ProxyConfig

/// The tables hold together.
struct SchemaTests {
    @Test("every message, enum and type a field names has a schema")
    func references() {
        for message in Schemas.messages.values {
            for field in message.fields {
                switch field.kind {
                case .message(let name): #expect(Schemas.messages[name] != nil, "\(message.name).\(field.name)")
                case .enumeration(let name): #expect(Schemas.enums[name] != nil, "\(message.name).\(field.name)")
                case .any(let slot):
                    for type in Schemas.supportedTypes(slot) { #expect(Schemas.messages[type] != nil, "\(type)") }
                default: break
                }
            }
        }
    }

    @Test("no field twice, and every required oneof has members")
    func fields() {
        for message in Schemas.messages.values {
            #expect(Set(message.fields.map(\.name)).count == message.fields.count, "\(message.name)")
            for oneof in message.requiredOneofs { #expect(message.fields.contains { $0.oneof == oneof }, "\(message.name).\(oneof)") }
        }
    }

    @Test("lowerCamelCase as protobuf derives it")
    func camelCase() {
        let listener = Schemas.messages["envoy.config.listener.v3.Listener"]
        #expect(listener?.field("deprecatedV1")?.name == "deprecated_v1")
        #expect(listener?.field("perConnectionBufferLimitBytes")?.name == "per_connection_buffer_limit_bytes")
        #expect(Schemas.messages["envoy.config.cluster.v3.Cluster"]?.field("http2ProtocolOptions")?.name == "http2_protocol_options")
    }

    @Test("ids are unique, and everyone has a title, a cause and a remedy")
    func catalog() {
        #expect(Set(DiagnosticID.allCases.map(\.rawValue)).count == DiagnosticID.allCases.count)
        for id in DiagnosticID.allCases {
            #expect(!id.explanation.title.isEmpty && !id.explanation.cause.isEmpty && !id.explanation.remedy.isEmpty, "\(id.rawValue)")
        }
    }
}
