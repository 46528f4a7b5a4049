import Glibc
import HTTP
import MediaPlane
import SDP
import SampleMedia

/// The least that sending a stream to so many viewers can cost: a WHEP server that does nothing but encrypt a packetised film for each of
/// them and send it, one message for each frame. There is no publisher, no ring, no repair, no report and no rewriting. And the least that answering can cost.
enum Program {
    static let usage = """
        floor --input FILE [--listen HOST:PORT] [--address IP] [--port UDP_PORT] [--profile gcm|sha1]
          Plays FILE in a loop to everybody who asks at /whep/any, from the address viewers are told, with SRTP's AEAD_AES_128_GCM or
          AES_CM_128_HMAC_SHA1_80.
        floor --echo UDP_PORT [--answer BYTES]
          Sends the first so many bytes of each datagram back to where it came from.
        """

    struct Options {
        var input = ""
        var listen = "127.0.0.1:0"
        var address = "127.0.0.1"
        var port: UInt16 = 0
        var profile = SRTPProfile.aeadAES128GCM
        /// Where datagrams are echoed instead.
        var echoPort: UInt16?
        var answerBytes = Int.max

        init?(_ arguments: [String]) {
            guard arguments.count.isMultiple(of: 2) else { return nil }
            for place in stride(from: 0, to: arguments.count, by: 2) {
                let value = arguments[place + 1]
                switch arguments[place] {
                case "--input": input = value
                case "--listen": listen = value
                case "--address": address = value
                case "--port":
                    guard let number = UInt16(value) else { return nil }
                    port = number
                case "--profile":
                    guard ["gcm", "sha1"].contains(value) else { return nil }
                    profile = value == "gcm" ? .aeadAES128GCM : .aes128CMSHA1_80
                case "--echo":
                    guard let number = UInt16(value) else { return nil }
                    echoPort = number
                case "--answer":
                    guard let number = Int(value), number > 0 else { return nil }
                    answerBytes = number
                default: return nil
                }
            }
            if input.isEmpty, echoPort == nil { return nil }
        }
    }

    /// Serves until it is killed; the result is the exit status.
    static func run(_ arguments: [String]) async -> Int32 {
        guard let options = Options(arguments) else {
            tell(usage)
            return 2
        }
        do {
            if let port = options.echoPort {
                let echo = Echo(port: port, answerBytes: options.answerBytes)
                try await BlockingThread.run { Result { try echo.run() } }.get()
                return 0
            }
            let film = try await Film.read(options.input)
            let sender = try Sender(film: film, port: options.port)
            let endpoint = Endpoint(
                tracks: film.tracks, sender: sender, certificate: try DTLSCertificate(), profile: options.profile,
                candidate: Candidate(address: options.address, port: sender.port))
            let server = try HTTPServer(HTTPServerSettings(listen: options.listen), router: endpoint.router())
            try server.start()
            await BlockingThread.run { sender.run() }
            await server.stop()
            return 0
        } catch {
            tell("\(error)")
            return 1
        }
    }

    private static func tell(_ line: String) {
        var line = line + "\n"
        line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
