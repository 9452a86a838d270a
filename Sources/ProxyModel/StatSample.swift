/// One statistic, summed over generations, as the admin page renders it.
public struct StatSample: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        case counter(UInt64)
        case gauge(Int64)
        /// Log-linear buckets: `lows[i]` is the lowest value of bucket i (shared table), `counts[i]` how many fell in it.
        case histogram(count: UInt64, sum: UInt64, counts: [UInt64])
    }
    public var name: String
    public var value: Value
    public var used: Bool
    public init(name: String, value: Value, used: Bool) {
        self.name = name
        self.value = value
        self.used = used
    }
}
