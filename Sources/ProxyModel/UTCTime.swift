/// A moment in the calendar (proleptic Gregorian, UTC), for log lines and reports.
public struct UTCTime: Sendable, Equatable {
    public var year: Int
    public var month: Int
    public var day: Int
    public var hour: Int
    public var minute: Int
    public var second: Int
    public var nanosecond: Int

    public init(unixNanoseconds: UInt64) {
        self.init(seconds: Int(unixNanoseconds / 1_000_000_000), nanoseconds: Int(unixNanoseconds % 1_000_000_000))
    }

    public init(unixMilliseconds: UInt64) {
        self.init(seconds: Int(unixMilliseconds / 1000), nanoseconds: Int(unixMilliseconds % 1000) * 1_000_000)
    }

    private init(seconds: Int, nanoseconds: Int) {
        nanosecond = nanoseconds
        hour = seconds % 86_400 / 3600
        minute = seconds % 3600 / 60
        second = seconds % 60
        (year, month, day) = Self.date(daysSince1970: seconds / 86_400)
    }

    /// `2026-11-24T03:44:05.123Z`
    public var rfc3339: String {
        "\(digits(year, 4))-\(digits(month, 2))-\(digits(day, 2))T\(time).\(digits(nanosecond / 1_000_000, 3))Z"
    }

    /// `03:44:05`
    public var time: String { "\(digits(hour, 2)):\(digits(minute, 2)):\(digits(second, 2))" }

    /// Years are counted from March, so that the leap day is the last of its year; an era is 400 years of 146,097 days.
    private static func date(daysSince1970 days: Int) -> (Int, Int, Int) {
        let shifted = days + 719_468  // days from 0000-03-01
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }
}

/// `value` in decimal with leading zeros.
public func digits(_ value: Int, _ width: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, width - text.count)) + text
}
