import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Where all lines go: stderr, one `write` a line, so that lines of two threads never mix.
public enum LogOutput {
    private static let level = Atomic<Int>(LogLevel.info.rank)
    private static let isJSON = Atomic<Bool>(false)

    /// Sets level and format for the whole process; may be called again on SIGHUP.
    public static func configure(level newLevel: LogLevel, format: LogFormat) {
        level.store(newLevel.rank, ordering: .relaxed)
        isJSON.store(format == .json, ordering: .relaxed)
    }

    static func isOn(_ wanted: LogLevel) -> Bool { wanted.rank >= level.load(ordering: .relaxed) }

    static func write(_ record: LogRecord) {
        let format: LogFormat = isJSON.load(ordering: .relaxed) ? .json : .text
        var line = record.line(format: format, time: LogRecord.now())
        line.withUTF8 { bytes in
            // A full pipe or a closed stderr must not stop the program, so the result is not looked at.
            _ = Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count)
        }
    }
}
