internal import CProxyCore

/// A failure in the core, as its last `px_detail` describes it: what was called, on what, and further facts.
public struct CoreError: Error, Sendable, CustomStringConvertible {
    /// Negative: -errno or one of the core's own codes.
    public var code: Int32
    public var call: String
    public var object: String
    public var text: String

    public init(code: Int32, call: String, object: String = "", text: String = "") {
        self.code = code
        self.call = call
        self.object = object
        self.text = text
    }

    init(_ detail: px_detail) {
        self.init(code: detail.code, call: string(detail.call), object: string(detail.object), text: string(detail.text))
    }

    /// For example "EADDRINUSE".
    public var name: String { String(cString: px_error_name(code)) }
    /// For example "Address already in use".
    public var meaning: String { String(cString: px_error_text(code)) }
    public var errno: Int32 { -code }

    public var description: String {
        var line = object.isEmpty ? "\(call): \(meaning)" : "\(call) \(object): \(meaning)"
        line += " (\(name))"
        if !text.isEmpty { line += "; \(text)" }
        return line
    }
}

/// A fixed-size C char array, which Swift imports as a tuple, up to its NUL.
func string<T>(_ tuple: T) -> String {
    withUnsafeBytes(of: tuple) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// Run a call that returns a negative code with a detail, and throw what it filled in.
func checked(_ call: String, _ body: (inout px_detail) -> Int32) throws(CoreError) -> Int32 {
    var detail = px_detail()
    let result = body(&detail)
    if result >= 0 { return result }
    if detail.code == 0 { throw CoreError(code: result, call: call) }
    throw CoreError(detail)
}

/// Run a call that returns a handle or NULL with a detail.
func created(_ call: String, _ body: (inout px_detail) -> OpaquePointer?) throws(CoreError) -> OpaquePointer {
    var detail = px_detail()
    if let handle = body(&detail) { return handle }
    if detail.code == 0 { throw CoreError(code: -12, call: call) }
    throw CoreError(detail)
}
