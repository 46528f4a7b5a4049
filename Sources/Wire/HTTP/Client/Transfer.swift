import CCurl

/// One request of ours and its answer. The loop's thread owns the easy handle; tasks only touch the pipes and the locked state.
final class Transfer: Sendable {
    private struct State {
        var continuation: CheckedContinuation<HTTPClientResponse, any Error>?
        var isOver = false
        var isCancelled = false
        var headers = HTTPHeaders()
        var status = 0
        var isHeadDone = false
        /// The head has come, and is given when the body has.
        var isHeadHeld = false
        var lastActivityNs: UInt64 = 0
        var writer: Task<Void, Never>?
        var bodyFailure: String?
    }

    let id: UInt64
    let request: HTTPClientRequest
    let incoming: BytePipe
    let outgoing: BytePipe
    private let loop: TransferLoop
    /// Kept until the answer is read, or its end would end the thread.
    private let owner: HTTPClient
    private let state = Locked(State())

    init(id: UInt64, _ request: HTTPClientRequest, loop: TransferLoop, owner: HTTPClient, capacity: Int) {
        self.id = id
        self.request = request
        self.loop = loop
        self.owner = owner
        // The pipes must not keep the transfer, which keeps them.
        incoming = BytePipe(capacity: capacity) { loop.post(.resume(id)) }
        outgoing = BytePipe(capacity: capacity) { loop.post(.resume(id)) }
    }

    // MARK: From tasks

    /// False when the transfer is over already.
    func begin(_ continuation: CheckedContinuation<HTTPClientResponse, any Error>) -> Bool {
        let isFresh = state.withLock { state in
            let isFresh = !state.isOver && !state.isCancelled
            if isFresh { state.continuation = continuation }
            return isFresh
        }
        if !isFresh { continuation.resume(throwing: HTTPClientError.cancelled) }
        return isFresh
    }

    /// The task that waits was cancelled, perhaps before the loop heard of the transfer.
    func cancel() {
        state.withLock { $0.isCancelled = true }
        loop.post(.cancel(id))
    }

    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// Runs the closure that writes the body.
    func startWriting() {
        guard case .stream(_, let write) = request.body else { return }
        let task = Task { [outgoing] in
            do {
                try await write(HTTPBodyWriter(pipe: outgoing))
                outgoing.finish()
            } catch {
                state.withLock { $0.bodyFailure = String(describing: error) }
                outgoing.fail(error)
            }
        }
        let isLate = state.withLock { state in
            if !state.isOver { state.writer = task }
            return state.isOver
        }
        if isLate { task.cancel() }
    }

    // MARK: On the loop's thread

    func touch(_ now: UInt64) { state.withLock { $0.lastActivityNs = now } }

    /// Whether neither side has moved a byte for too long while we were ready to.
    func isStalled(_ now: UInt64) -> Bool {
        guard let limit = request.idleSeconds, !incoming.isFull, !outgoing.isReaderParked else { return false }
        let last = state.withLock { $0.lastActivityNs }
        return last != 0 && now > last && now - last > UInt64(max(1, limit)) * 1_000_000_000
    }

    /// One line of the head without its end; of the last head when there are several.
    func receiveHeader(_ line: Slice<UnsafeRawBufferPointer>) {
        let finished = state.withLock { state -> Bool in
            // What comes after the body is a trailer.
            guard !state.isHeadDone else { return false }
            if let status = Self.status(line) {
                state.lastActivityNs = ConnectionWatcher.now()
                state.headers = HTTPHeaders()
                state.headers.reserve(16)
                state.status = status
            } else if let colon = line.firstIndex(of: 0x3A) {
                state.headers.add(Self.text(line[..<colon]), Self.text(line[(colon + 1)...]))
            } else if line.isEmpty {
                let isRedirect = (300..<400).contains(state.status) && state.headers["Location"] != nil && request.redirects > 0
                guard state.status >= 200, !isRedirect else { return false }
                let length = state.headers["Content-Length"].flatMap { Int($0) }
                state.isHeadHeld = length.map { $0 <= min(request.wholeBytesMax, incoming.capacity) } ?? false
                return !state.isHeadHeld
            }
            return false
        }
        if finished { deliverHead() }
    }

    /// The number in a status line (RFC 9112 section 4), 0 when it has none; nil for any other line.
    private static func status(_ line: Slice<UnsafeRawBufferPointer>) -> Int? {
        guard line.first == 0x48, line.starts(with: "HTTP/".utf8) else { return nil }
        let digits = line.drop { $0 != 0x20 }.drop { $0 == 0x20 }.prefix { $0 != 0x20 }
        guard digits.count == 3 else { return 0 }
        return digits.reduce(Int?(0)) { sum, byte in
            guard let sum, (0x30...0x39).contains(byte) else { return nil }
            return sum * 10 + Int(byte - 0x30)
        } ?? 0
    }

    /// A name or value; a carriage return inside of it could end a line for someone else (RFC 9110 section 5.5).
    private static func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        let bytes = trimBlanks(bytes)
        guard bytes.contains(0x0D) else { return String(decoding: bytes, as: UTF8.self) }
        return String(decoding: bytes.map { $0 == 0x0D ? 0x20 : $0 }, as: UTF8.self)
    }

    /// A piece of the body is about to come.
    func deliverHeadBeforeBody() {
        if !state.withLock({ $0.isHeadHeld }) { deliverHead() }
    }

    /// Gives the answer to the one who waits, once.
    private func deliverHead() {
        let waiting = state.withLock { state -> (CheckedContinuation<HTTPClientResponse, any Error>, HTTPStatus, HTTPHeaders)? in
            guard !state.isHeadDone, let continuation = state.continuation.take() else { return nil }
            state.isHeadDone = true
            return (continuation, HTTPStatus(rawValue: state.status), state.headers)
        }
        guard let (continuation, status, headers) = waiting else { return }
        let body = HTTPClientBody(pipe: incoming) { [loop, id, owner] in withExtendedLifetime(owner) { loop.post(.cancel(id)) } }
        continuation.resume(returning: HTTPClientResponse(status: status, headers: headers, body: body))
    }

    /// The end, for whatever reason; nil means a complete answer.
    func finish(_ error: HTTPClientError?) {
        if error == nil {
            incoming.finish()
            deliverHead()
        }
        let (continuation, writer) = state.withLock { state in
            state.isOver = true
            return (state.continuation.take(), state.writer.take())
        }
        writer?.cancel()
        outgoing.fail(error ?? .cancelled)
        if let error { incoming.fail(error) }
        continuation?.resume(throwing: error ?? HTTPClientError.broken("no answer"))
    }

    var bodyFailure: String? { state.withLock { $0.bodyFailure } }
}

// MARK: Callbacks of libcurl, on the loop's thread

func onHeader(_ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?) -> Int {
    guard let bytes, let context else { return 0 }
    var line = UnsafeRawBufferPointer(start: bytes, count: size * count)[...]
    while let last = line.last, last == 0x0D || last == 0x0A { line.removeLast() }
    Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().receiveHeader(line)
    return size * count
}

func onBody(_ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?) -> Int {
    guard let bytes, let context else { return 0 }
    let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    transfer.touch(ConnectionWatcher.now())
    transfer.deliverHeadBeforeBody()
    // The library keeps these bytes and gives them again after the pause.
    if transfer.incoming.parkWriter() { return ccurl_write_pause() }
    let isKept = transfer.incoming.offer(Array(UnsafeRawBufferPointer(start: bytes, count: size * count)))
    return isKept ? size * count : 0
}

func onUpload(_ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?) -> Int {
    guard let bytes, let context else { return ccurl_read_abort() }
    let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    while true {
        switch transfer.outgoing.take(into: UnsafeMutableRawBufferPointer(start: bytes, count: size * count)) {
        case .bytes(let taken):
            transfer.touch(ConnectionWatcher.now())
            return taken
        case .finished: return 0
        case .failed: return ccurl_read_abort()
        case .empty: if transfer.outgoing.parkReader() { return ccurl_read_pause() }
        }
    }
}
