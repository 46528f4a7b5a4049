import Testing

@testable import HTTP

@Suite("WebSocket (RFC 6455)", .timeLimit(.minutes(5)))
struct WebSocketTests {
    private static let handshake =
        "GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    /// A client's frame, masked as section 5.3 wants it.
    private func frame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) -> [UInt8] {
        let mask: [UInt8] = [1, 2, 3, 4]
        var out = [(isFinal ? 0x80 : 0) | opcode]
        switch payload.count {
        case 0..<126: out.append(0x80 | UInt8(payload.count))
        case 126..<65536: out += [0x80 | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default: out += [0x80 | 127] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        return out + mask + payload.enumerated().map { $0.element ^ mask[$0.offset & 3] }
    }

    private func withSocket(
        _ body: @escaping @Sendable (WebSocket) async throws -> Void, _ test: (RawClient, HTTPServer) async throws -> Void
    ) async throws {
        var settings = HTTPServerSettings()
        settings.webSocketMessageBytes = 200_000
        try await withServer(settings) { router in
            router.get("/socket", RouteDescription("socket")) { _ in .webSocket(body) }
        } _: { server in
            let client = try RawClient(server.port)
            await client.send(Self.handshake)
            let head = await client.receive(until: "\r\n\r\n")
            // The example of section 1.3.
            #expect(head.hasPrefix("HTTP/1.1 101") && head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
            try await test(client, server)
        }
    }

    private let echo: @Sendable (WebSocket) async throws -> Void = { socket in
        for try await message in socket {
            switch message {
            case .text(let text): try await socket.send(text: text)
            case .binary(let bytes): try await socket.send(binary: bytes)
            }
        }
    }

    @Test("messages of every length form come back", arguments: [0, 1, 125, 126, 65535, 65536, 200_000])
    func echo(count: Int) async throws {
        try await withSocket(echo) { client, _ in
            let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            await client.send(frame(2, payload))
            let header = count < 126 ? 2 : count < 65536 ? 4 : 10
            let answer = await client.receive(count: header + count)
            #expect(answer.count == header + count && answer.first == 0x82 && answer.dropFirst(header).elementsEqual(payload))
        }
    }

    @Test("one byte at a time, in fragments with a ping between them")
    func drip() async throws {
        try await withSocket(echo) { client, _ in
            let bytes = frame(1, Array("he".utf8), isFinal: false) + frame(9, Array("p".utf8)) + frame(0, Array("llo".utf8))
            for byte in bytes { await client.send([byte]) }
            let answer = await client.receive(count: 3 + 7)
            #expect(answer == [0x8A, 1] + Array("p".utf8) + [0x81, 5] + Array("hello".utf8))
        }
    }

    @Test("the client's goodbye is answered with its code, and ends the loop properly")
    func clientCloses() async throws {
        let ended = AsyncStream<Bool>.makeStream()
        let watched: @Sendable (WebSocket) async throws -> Void = { socket in
            do {
                for try await _ in socket {}
                ended.continuation.yield(true)
            } catch {
                ended.continuation.yield(false)
            }
        }
        try await withSocket(watched) { client, _ in
            await client.send(frame(8, [0x03, 0xE8]))
            #expect(await client.receiveBytes() == [0x88, 2, 0x03, 0xE8])
            var iterator = ended.stream.makeAsyncIterator()
            #expect(await iterator.next() == true)
        }
    }

    @Test("the closure's return says 1000, its error 1011, the server's stop 1001", arguments: [1000, 1011, 1001] as [UInt16])
    func serverCloses(code: UInt16) async throws {
        struct Failed: Error {}
        let body: @Sendable (WebSocket) async throws -> Void = { socket in
            try await socket.send(text: "last")
            if code == 1011 { throw Failed() }
            if code == 1001 { for try await _ in socket {} }
        }
        try await withSocket(body) { client, server in
            #expect(await client.receive(count: 6) == [0x81, 4] + Array("last".utf8))
            let stopping = Task { if code == 1001 { await server.stop() } }
            #expect(await client.receive(count: 4) == [0x88, 2, UInt8(code >> 8), UInt8(code & 255)])
            await client.send(frame(8, [0x03, 0xE8]))
            #expect(await client.receiveBytes() == [])
            await stopping.value
        }
    }

    static let broken: [(String, [UInt8], UInt16)] = [  // A header the framing can't read gets a close without code.
        ("no mask", [0x81, 1, 0x61], 1002), ("reserved opcode", [0x83, 0x80, 0, 0, 0, 0], 1002),
        ("reserved bit", [0xC1, 0x80, 0, 0, 0, 0], 1002),
        ("long ping", [0x89, 0xFE, 1, 0, 0, 0, 0, 0], 0), ("not UTF-8", [0x81, 0x81, 0, 0, 0, 0, 0xFF], 1007),
        ("huge length", [0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 1], 1009),
        ("bad continuation", [0x80, 0x80, 0, 0, 0, 0], 1002),
    ]

    @Test("a broken frame ends the connection with its code", arguments: 0..<7)
    func broken(index: Int) async throws {
        let (name, bytes, code) = Self.broken[index]
        try await withSocket(echo) { client, _ in
            await client.send(bytes)
            let answer = await client.receiveBytes()
            let goodbye: [UInt8] = code == 0 ? [0x88, 0] : [0x88, 2, UInt8(code >> 8), UInt8(code & 255)]
            #expect(answer == goodbye, "\(name)")
        }
    }

    @Test("a client that vanishes makes the loop throw")
    func vanishing() async throws {
        let ended = AsyncStream<Bool>.makeStream()
        let body: @Sendable (WebSocket) async throws -> Void = { socket in
            do { for try await _ in socket {} } catch { ended.continuation.yield(error is WebSocket.Broken) }
        }
        try await withSocket(body) { client, _ in
            client.reset()
            var iterator = ended.stream.makeAsyncIterator()
            #expect(await iterator.next() == true)
        }
    }

    @Test("a client that doesn't read holds the sender back, and gets everything in the end")
    func backPressure() async throws {
        let count = 400
        let body: @Sendable (WebSocket) async throws -> Void = { socket in
            for index in 0..<count {
                try await socket.send(binary: [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 50_000))
            }
            #expect(socket.outgoing.peakCount <= (256 << 10) + 50_001)
        }
        try await withSocket(body) { client, _ in
            let all = await client.receive(count: count * 50_004)
            try #require(all.count == count * 50_004)
            #expect((0..<count).allSatisfy { all[$0 * 50_004 + 4] == UInt8(truncatingIfNeeded: $0) })
        }
    }

    @Test("what is no handshake is refused", arguments: ["Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"])
    func refusal(without name: String) async throws {
        try await withServer { router in
            router.get("/socket", RouteDescription("socket")) { _ in .webSocket { _ in } }
        } _: { server in
            let client = try RawClient(server.port)
            let lines = Self.handshake.replacing("\(name): ", with: "X-\(name): ").replacing(
                "keep-alive, Upgrade", with: "close, upgrade")
            await client.send(lines)
            let answer = await client.receive(until: "\r\n\r\n")
            #expect(answer.hasPrefix(name == "Sec-WebSocket-Key" ? "HTTP/1.1 400" : "HTTP/1.1 426"), "\(answer)")
        }
    }

    @Test("damaged frames never stop the server", arguments: 0..<6)
    func fuzz(seed: Int) async throws {
        var random = Mutator(seed: UInt64(seed))
        try await withSocket(echo) { _, server in
            for _ in 0..<20 {
                let client = try RawClient(server.port)
                await client.send(Self.handshake)
                _ = await client.receive(until: "\r\n\r\n")
                let good = frame(1, Array("hello".utf8)) + frame(2, [UInt8](repeating: 5, count: 300)) + frame(8, [0x03, 0xE8])
                await client.send(random.mutate(good))
                client.closeWriting()
                _ = await client.receiveAll()
            }
        }
    }
}
