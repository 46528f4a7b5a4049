import Testing

@testable import HTTP

#if canImport(Glibc)
    import Glibc
#endif

@Suite("Server start, stop and limits", .timeLimit(.minutes(5)))
struct LifecycleTests {
    @Test("a port in use is told by its listen address")
    func portInUse() async throws {
        let first = try HTTPServer(HTTPServerSettings(), router: Router())
        #expect {
            try HTTPServer(HTTPServerSettings(listen: "127.0.0.1:\(first.port)"), router: Router())
        } throws: { error in
            "\(error)" == "http.listen = \"127.0.0.1:\(first.port)\": the port is in use by another program"
        }
        await first.stop()
    }

    @Test(
        "what is no address is refused",
        arguments: ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "::1:80", "no.such.host.invalid:80", "127.0.0.1:http"])
    func badListen(listen: String) {
        #expect { try HTTPServer(HTTPServerSettings(listen: listen), router: Router()) } throws: { error in
            if case .badListenAddress = error as? HTTPServerError { true } else { false }
        }
    }

    @Test(
        "stop lets a running handler finish, and cancels one that doesn't, at the latest when it has to be over",
        arguments: [(finishes: true, mustEnd: false), (false, false), (false, true)])
    func stop(finishes: Bool, mustEnd: Bool) async throws {
        var settings = HTTPServerSettings()
        settings.stopSeconds = mustEnd ? 3600 : finishes ? 20 : 0
        var router = Router()
        let (began, release) = (AsyncStream<Void>.makeStream(), AsyncStream<Void>.makeStream())
        let ended = AsyncStream<Bool>.makeStream()
        router.get("/work", RouteDescription("work")) { _ in
            began.continuation.yield()
            var iterator = release.stream.makeAsyncIterator()
            await iterator.next()
            ended.continuation.yield(Task.isCancelled)
            return .text("done")
        }
        let server = try HTTPServer(settings, router: router)
        try server.start()
        let client = HTTPClient()
        let url = server.url
        let answer = Task { try await client.send(HTTPClientRequest(.get, url + "/work")).collect() }
        var iterator = began.stream.makeAsyncIterator()
        await iterator.next()
        let stopping = Task { await server.stop(by: mustEnd ? .now : nil) }
        if finishes { release.continuation.yield() }
        await stopping.value
        if finishes {
            #expect(try await answer.value == Array("done".utf8))
        } else {
            await #expect(throws: HTTPClientError.self) { try await answer.value }
        }
        var ends = ended.stream.makeAsyncIterator()
        #expect(await ends.next() == !finishes)
    }

    @Test("a server that nobody stops ends with its last reference")
    func forgotten() async throws {
        let client = HTTPClient()
        func events() async throws -> ServerSentEvents.AsyncIterator {
            var router = Router()
            router.get("/events", RouteDescription("events")) { _ in
                .serverSentEvents { sink in
                    try await sink.send(data: "a")
                    try await Task.sleep(for: .seconds(600))
                }
            }
            let server = try HTTPServer(HTTPServerSettings(), router: router)
            try server.start()
            var stream = client.events(server.url + "/events").makeAsyncIterator()
            #expect(try await stream.next() == ServerSentEvent(data: "a"))
            withExtendedLifetime(server) {}
            return stream
        }
        var stream = try await events()
        // Ended or broken, but not left open.
        let rest = try? await stream.next()
        #expect(rest == nil)
    }

    @Test("stop ends event streams properly and at once")
    func stopEvents() async throws {
        var router = Router()
        router.get("/events", RouteDescription("events")) { _ in
            .serverSentEvents { sink in
                try await sink.send(data: "a")
                try await Task.sleep(for: .seconds(600))
            }
        }
        let server = try HTTPServer(HTTPServerSettings(), router: router)
        try server.start()
        let client = HTTPClient()
        var events = client.events(server.url + "/events").makeAsyncIterator()
        #expect(try await events.next() == ServerSentEvent(data: "a"))
        await server.stop()
        #expect(try await events.next() == nil)
    }

    @Test("many connections at once, each with a request that waits, and stop in between")
    func stopUnderLoad() async throws {
        var settings = HTTPServerSettings()
        settings.stopSeconds = 0
        for _ in 0..<5 {
            var router = Router()
            let count = Locked(0)
            router.get("/wait", RouteDescription("wait")) { _ in
                count.withLock { $0 += 1 }
                try await Task.sleep(for: .seconds(600))
                return .text("late")
            }
            let server = try HTTPServer(settings, router: router)
            try server.start()
            let url = server.url
            let client = HTTPClient()
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<50 { group.addTask { _ = try? await client.send(HTTPClientRequest(.get, url + "/wait")) } }
                while count.withLock({ $0 }) < 20 { await Task.yield() }
                await server.stop()
            }
        }
    }

    @Test("a client that closes while its handler waits cancels the handler")
    func disconnect() async throws {
        let (began, ended) = (AsyncStream<Void>.makeStream(), AsyncStream<Bool>.makeStream())
        try await withServer { router in
            router.get("/wait", RouteDescription("wait")) { _ in
                began.continuation.yield()
                do { try await Task.sleep(for: .seconds(600)) } catch { ended.continuation.yield(true) }
                return .text("late")
            }
        } _: { server in
            do {
                let client = try RawClient(server.port)
                await client.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
                var iterator = began.stream.makeAsyncIterator()
                await iterator.next()
            }
            var iterator = ended.stream.makeAsyncIterator()
            #expect(await iterator.next() == true)
        }
    }

    @Test("connections from one address are limited")
    func perAddress() async throws {
        var settings = HTTPServerSettings()
        settings.maxConnectionsPerAddress = 3
        try await withServer(settings) { router in
            router.get("/ok", RouteDescription("ok")) { _ in .text("fine") }
        } _: { server in
            var clients: [RawClient] = []
            for _ in 0..<3 {
                let client = try RawClient(server.port)
                await client.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(await client.receive(until: "fine").hasSuffix("fine"))
                clients.append(client)
            }
            let fourth = try RawClient(server.port)
            await fourth.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await fourth.receiveAll() == "")
            // The server closes after its last byte, so when the end is seen the place is free or about to be.
            let last = clients.removeLast()
            await last.send("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(await last.receiveAll().hasSuffix("fine"))
            var answer = ""
            while answer.isEmpty, !Task.isCancelled {
                let next = try RawClient(server.port)
                await next.send("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = await next.receiveAll()
            }
            #expect(answer.hasSuffix("fine"))
        }
    }

    @Test("connections from an address that isn't counted are not limited")
    func uncounted() async throws {
        var settings = HTTPServerSettings()
        settings.maxConnectionsPerAddress = 1
        settings.countsAddress = { $0 != "127.0.0.1" }
        try await withServer(settings) { router in
            router.get("/ok", RouteDescription("ok")) { _ in .text("fine") }
        } _: { server in
            var clients: [RawClient] = []
            for _ in 0..<4 {
                let client = try RawClient(server.port)
                await client.send("GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(await client.receive(until: "fine").hasSuffix("fine"))
                clients.append(client)
            }
        }
    }

    @Test("a server without descriptors left goes on accepting when there are some again")
    func noDescriptors() async {
        await #expect(processExitsWith: .success) {
            var router = Router()
            router.get("/ok", RouteDescription("ok")) { _ in .text("fine") }
            let server = try HTTPServer(HTTPServerSettings(), router: router)
            // They wait in the socket's queue: nothing is accepted before the start.
            var clients: [RawClient] = []
            for _ in 0..<20 { clients.append(try RawClient(server.port)) }
            for client in clients {
                await client.send("GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            }
            // The limit is on the highest number, so no lower one may be free: whoever opens or closes one meanwhile would change the room.
            let highest = (0..<4096).last { fcntl($0, F_GETFD) != -1 } ?? 2
            var filled: Int32
            repeat { filled = dup(0) } while (0..<highest).contains(filled)
            // Room for what the library opens for itself and a few connections, far fewer than wait.
            var limit = rlimit(rlim_cur: rlim_t(highest) + 10, rlim_max: rlim_t(highest) + 10)
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { exit(2) }
            try server.start()
            for client in clients {
                let answer = await client.receiveAll()
                guard answer.hasSuffix("fine") else { exit(3) }
            }
            await server.stop()
        }
    }
}

@Suite("TLS", .timeLimit(.minutes(5)))
struct TLSTests {
    /// A throw-away certificate for 127.0.0.1.
    private static func makeCertificate(in folder: String) async -> Bool {
        await blocking {
            let command =
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test "
                + "-addext subjectAltName=IP:127.0.0.1 -keyout \(folder)/key.pem -out \(folder)/cert.pem >/dev/null 2>&1"
            return system(command) == 0
        }
    }

    private func withFolder(_ body: (String) async throws -> Void) async throws {
        var template = Array("/tmp/tributary-tls-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        #expect(await Self.makeCertificate(in: folder))
        defer {
            for name in ["/key.pem", "/cert.pem", ""] { remove(folder + name) }
        }
        try await body(folder)
    }

    @Test("requests, files and streams are encrypted; an unknown certificate is refused")
    func encrypted() async throws {
        try await withFolder { folder in
            var settings = HTTPServerSettings()
            (settings.tlsCertificate, settings.tlsKey) = (folder + "/cert.pem", folder + "/key.pem")
            try await withServer(settings) { router in
                router.get("/tls", RouteDescription("tls")) { .text("\($0.isTLS)") }
                router.get("/file", RouteDescription("file")) { _ in
                    .file(try HTTPFile(path: folder + "/cert.pem"), contentType: "text/plain")
                }
                router.post("/echo", RouteDescription("echo")) { request in
                    let bytes = try await request.body.bytes()
                    return .stream(contentType: "a/b") { try await $0.write(bytes) }
                }
            } _: { server in
                #expect(server.url.hasPrefix("https://"))
                var trusting = HTTPClient.Settings()
                trusting.caFile = folder + "/cert.pem"
                let client = HTTPClient(trusting)
                #expect(try await client.send(HTTPClientRequest(.get, server.url + "/tls")).collect() == Array("true".utf8))
                let file = try await client.send(HTTPClientRequest(.get, server.url + "/file")).collect()
                #expect(String(decoding: file, as: UTF8.self).hasPrefix("-----BEGIN CERTIFICATE"))
                let body = [UInt8](repeating: 9, count: 900_000)
                #expect(
                    try await client.send(HTTPClientRequest(.post, server.url + "/echo", body: .bytes(body))).collect() == body)
                await #expect {
                    try await HTTPClient().send(HTTPClientRequest(.get, server.url + "/tls"))
                } throws: { error in
                    if case .tls = error as? HTTPClientError { true } else { false }
                }
            }
        }
    }

    @Test("a missing, wrong or lonely certificate is told before anything listens")
    func badCertificate() async throws {
        try await withFolder { folder in
            let cases = [
                (folder + "/none.pem", folder + "/key.pem"), ("/dev/null", folder + "/key.pem"), (folder + "/cert.pem", nil),
            ]
            for (certificate, key) in cases {
                var settings = HTTPServerSettings()
                (settings.tlsCertificate, settings.tlsKey) = (certificate, key)
                #expect { try HTTPServer(settings, router: Router()) } throws: { error in
                    if case .badCertificate = error as? HTTPServerError { true } else { false }
                }
            }
            var settings = HTTPServerSettings()
            (settings.tlsCertificate, settings.tlsKey) = (folder + "/key.pem", folder + "/cert.pem")
            let server = try HTTPServer(settings, router: Router())
            #expect(throws: HTTPServerError.self) { try server.start() }
            await server.stop()
        }
    }
}
