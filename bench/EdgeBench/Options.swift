import MediaPlane

/// What is wrong with the command line.
enum OptionError: Error, CustomStringConvertible {
    case unknown(String)
    case missingValue(String)
    case missing(String)
    case badValue(option: String, value: String)

    var description: String {
        switch self {
        case .unknown(let option): "unknown option or command: \(option)"
        case .missingValue(let option): "\(option) needs a value"
        case .missing(let option): "\(option) is required"
        case .badValue(let option, let value): "\(option): not a value it can take: \(value)"
        }
    }
}

struct PublishOptions {
    var url = ""
    var token: String?
    /// A path, or "-" for standard input.
    var input = "-"
    var loops = false
    var durationSeconds: Int?
    /// After how much silence a session is given up; nil: when its consent has run out (RFC 7675).
    var patienceSeconds: Int?
    /// Whether pictures tell when they were sent.
    var stamps = false
    /// Connected, but nothing is sent.
    var isSilent = false
    /// How many streams are published; each one's number stands in the URL for `{n}`.
    var streams = 1

    static let placeholder = "{n}"

    /// What one of several streams is published with.
    func stream(_ number: Int) -> PublishOptions {
        var one = self
        one.url = url.replacing(Self.placeholder, with: String(number))
        one.streams = 1
        return one
    }
}

struct PlayOptions {
    var url = ""
    var token: String?
    var viewers = 1
    /// Viewers that may be joining at the same time.
    var joining = 8
    /// How many join in a second at most; nil: as many as can.
    var joinsPerSecond: Int?
    var durationSeconds: Int?
    /// Packets, loss and delays count from when all have a picture, or so many seconds have passed; `durationSeconds`, too.
    var settleSeconds: Int?
    /// How long after its first picture a viewer leaves; nil: at the end.
    var stayMs: Int?
    /// Viewers are there once they are connected: nothing is published.
    var expectsNothing = false
    /// Viewers read nothing once they are connected, so that a load of thousands costs no processor; they are given up after 30 s.
    var isDeaf = false
    var json = false
    /// What DTLS offers for SRTP.
    var profiles = SRTPProfile.allCases
}

struct AskOptions {
    /// Of what echoes.
    var address: SocketAddress
    var sockets = 1
    /// Datagrams of them all together.
    var perSecond = 1
    var bytes = 100
    var durationSeconds = 10
}

/// The command line.
enum Command {
    case help
    case publish(PublishOptions)
    case play(PlayOptions)
    case ask(AskOptions)

    static let usage = """
        edge-bench publish --url WHIP_URL [--token T] [--input FILE|-] [--loop] [--duration S] [--streams N] [--patience S] [--stamp] [--silent]
          Sends the H.264 and Opus tracks of a file, or of standard input, in their own time; a file also N times at once,
          with 1 to N in the URL for {n}. A session that is lost, or silent for so many seconds, is asked for again.
          --silent only connects. --stamp tells in every seventh picture when it was sent (user data SEI), from which viewers measure delays.
          On SIGUSR1 it prints a line of JSON: how long after they were due its frames had left since the last one.
        edge-bench play --url WHEP_URL [--token T] [--viewers N] [--joining N] [--rate PER_S] [--settle S] [--stay MS] [--duration S]
            [--profile gcm|sha1] [--idle] [--deaf] [--json]
          Joins N viewers, the n-th with n in the URL for {n}, decrypts everything and reports packets, loss, order, key frames, join
          times and the delays of stamped pictures. Progress is on standard error. --settle counts, and lets the duration begin, only
          two seconds after all viewers have a picture, or after S seconds. --stay lets each leave so long after its first picture. --idle is
          for streams that nobody publishes: being connected is enough. --deaf viewers read nothing once they are connected.
        edge-bench ask --to IP:PORT [--sockets N] [--rate PER_S] [--bytes B] [--duration S]
          Sends datagrams of B bytes from N sockets in turn to an echo (floor --echo) and counts what comes back, after two seconds.
        Ctrl-C ends each of them and its sessions.
        """

    init(parsing arguments: [String]) throws(OptionError) {
        guard let name = arguments.first else { throw .missing("publish, play or ask") }
        var scanner = Scanner(arguments: Array(arguments.dropFirst()))
        switch name {
        case "--help", "-h", "help": self = .help
        case "publish": self = .publish(try Self.publish(&scanner))
        case "play": self = .play(try Self.play(&scanner))
        case "ask": self = .ask(try Self.ask(&scanner))
        default: throw .unknown(name)
        }
    }

    private static func publish(_ scanner: inout Scanner) throws(OptionError) -> PublishOptions {
        var options = PublishOptions()
        while let option = scanner.next() {
            switch option {
            case "--url": options.url = try scanner.value(option)
            case "--token": options.token = try scanner.value(option)
            case "--input": options.input = try scanner.value(option)
            case "--loop": options.loops = true
            case "--duration": options.durationSeconds = try scanner.number(option, 1...86_400)
            case "--patience": options.patienceSeconds = try scanner.number(option, 1...60)
            case "--stamp": options.stamps = true
            case "--silent": options.isSilent = true
            case "--streams": options.streams = try scanner.number(option, 1...1000)
            default: throw .unknown(option)
            }
        }
        guard !options.url.isEmpty else { throw .missing("--url") }
        if options.streams > 1 {
            guard options.input != "-" else { throw .missing("--input, because standard input can be read only once,") }
            guard options.url.contains(PublishOptions.placeholder) else { throw .badValue(option: "--url", value: options.url) }
        }
        return options
    }

    private static func play(_ scanner: inout Scanner) throws(OptionError) -> PlayOptions {
        var options = PlayOptions()
        while let option = scanner.next() {
            switch option {
            case "--url": options.url = try scanner.value(option)
            case "--token": options.token = try scanner.value(option)
            case "--viewers": options.viewers = try scanner.number(option, 1...20_000)
            case "--joining": options.joining = try scanner.number(option, 1...256)
            case "--rate": options.joinsPerSecond = try scanner.number(option, 1...10_000)
            case "--settle": options.settleSeconds = try scanner.number(option, 1...600)
            case "--stay": options.stayMs = try scanner.number(option, 0...600_000)
            case "--duration": options.durationSeconds = try scanner.number(option, 1...86_400)
            case "--json": options.json = true
            case "--idle": options.expectsNothing = true
            case "--deaf": options.isDeaf = true
            case "--profile":
                switch try scanner.value(option) {
                case "gcm": options.profiles = [.aeadAES128GCM]
                case "sha1": options.profiles = [.aes128CMSHA1_80]
                case let other: throw .badValue(option: option, value: other)
                }
            default: throw .unknown(option)
            }
        }
        guard !options.url.isEmpty else { throw .missing("--url") }
        return options
    }

    private static func ask(_ scanner: inout Scanner) throws(OptionError) -> AskOptions {
        var options = AskOptions(address: SocketAddress(ipv4: 0, port: 0))
        while let option = scanner.next() {
            switch option {
            case "--to":
                let value = try scanner.value(option)
                let (host, port) = value.lastIndex(of: ":").map { (value[..<$0], value[value.index(after: $0)...]) } ?? ("", "")
                guard let number = UInt16(port), number > 0, let address = SocketAddress(String(host), port: number) else {
                    throw .badValue(option: option, value: value)
                }
                options.address = address
            case "--sockets": options.sockets = try scanner.number(option, 1...20_000)
            case "--rate": options.perSecond = try scanner.number(option, 1...100_000)
            case "--bytes": options.bytes = try scanner.number(option, 1...1200)
            case "--duration": options.durationSeconds = try scanner.number(option, 1...86_400)
            default: throw .unknown(option)
            }
        }
        guard options.address.port > 0 else { throw .missing("--to") }
        return options
    }

    private struct Scanner {
        var arguments: [String]
        var position = 0

        mutating func next() -> String? {
            guard position < arguments.count else { return nil }
            defer { position += 1 }
            return arguments[position]
        }

        mutating func value(_ option: String) throws(OptionError) -> String {
            guard let value = next() else { throw .missingValue(option) }
            return value
        }

        mutating func number(_ option: String, _ range: ClosedRange<Int>) throws(OptionError) -> Int {
            let text = try value(option)
            guard let number = Int(text), range.contains(number) else { throw .badValue(option: option, value: text) }
            return number
        }
    }
}
