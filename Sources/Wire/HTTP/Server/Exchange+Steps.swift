import CMicrohttpd

/// What the server's thread does each time the library asks how to go on with a request.
extension Exchange {
    /// The most bytes of an unwanted body that are read away so that the connection can be used again.
    private static let discardLimit = 4 << 20
    private static let bodyLost = HTTPError(.badRequest, "the body was not read before the answer")

    /// - Parameter upload: a piece of the body, or nil.
    /// - Returns: `.NO` breaks the connection.
    func step(method: UnsafePointer<CChar>?, version: UnsafePointer<CChar>?, upload: UnsafeRawBufferPointer?) -> MHD_Result {
        let (phase, isAborted) = state.withLock { ($0.phase, $0.isAborted) }
        if isAborted { return .NO }
        switch phase {
        case .start: return start(method: method, version: version)
        case .holding: return hold()
        case .receiving:
            if let upload { return receive(upload) }
            incoming?.finish()
            state.withLock { $0.phase = .received }
            return answerOrWait()
        case .received: return answerOrWait()
        case .answered: return .YES
        }
    }

    private func start(method: UnsafePointer<CChar>?, version: UnsafePointer<CChar>?) -> MHD_Result {
        let (request, plan) = RequestReader.read(self, method: method, version: version)
        if case .refuse(let error, let origin) = plan {
            register(.holding, isHead: false)
            state.withLock { $0.response = core.router.respond(toBroken: error, origin: origin) }
            core.watcher.lingerWhenClosed(socket)
            return queueResponse()
        }
        guard let request else { return .NO }
        let isHead = request.method == .head
        guard plan == .receive, incoming == nil else {
            register(plan == .hold ? .holding : .receiving, isHead: isHead)
            run { [core] in await core.router.respond(to: request) }
            return plan == .hold ? hold() : .YES
        }
        switch core.router.begin(request) {
        case .answered(let response) where !response.isStreamed: answerHere(response, isHead: isHead)
        case .answered(let response):
            register(.receiving, isHead: isHead)
            run { response }
        case .pending(let pending):
            register(.receiving, isHead: isHead)
            run(on: pending.found.startsInPlace ? InPlaceExecutor.shared : nil) { [core] in await core.router.respond(to: pending)
            }
        }
        return .YES
    }

    private func register(_ phase: Phase, isHead: Bool) {
        state.withLock { ($0.phase, $0.standing, $0.isHead) = (phase, .running, isHead) }
        core.add(self)
    }

    /// Nobody is waited for: no task, and nobody else needs to know.
    private func answerHere(_ response: HTTPResponse, isHead: Bool) {
        state.withLock { state in
            (state.phase, state.standing, state.isHead) = (.receiving, .answering, isHead)
            state.response = response
        }
        core.answering(self)
    }

    private func hold() -> MHD_Result {
        let (isReady, wantsBody) = state.withLock { state in
            if state.wantsBody && state.response == nil { state.phase = .receiving }
            return (state.response != nil, state.wantsBody)
        }
        if isReady {
            // The client may be in the middle of its body: the library will close, and the rest must be read away first.
            core.watcher.lingerWhenClosed(socket)
            incoming?.fail(Self.bodyLost)
            return queueResponse()
        }
        if wantsBody { return .YES }
        waker.suspend()
        if state.withLock({ $0.wantsBody || $0.response != nil || $0.isAborted }) { waker.wake() }
        return .YES
    }

    private func receive(_ upload: UnsafeRawBufferPointer) -> MHD_Result {
        // The library sends nothing before it has the whole body, so a reader behind the answer only gets what fits the buffer.
        guard let incoming else { return .NO }
        if incoming.isFull, state.withLock({ $0.response != nil }) { incoming.fail(Self.bodyLost) }
        if !incoming.offer(Array(upload)) {
            let discarded = state.withLock { state in
                state.discarded += upload.count
                return state.discarded
            }
            return discarded > Self.discardLimit ? .NO : .YES
        }
        if incoming.isFull {
            waker.suspend()
            // With the answer ready nobody may read on; the next call then throws the rest away.
            if state.withLock({ $0.response != nil || $0.isAborted }) || !incoming.parkWriter() { waker.wake() }
        }
        return .YES
    }

    private func answerOrWait() -> MHD_Result {
        if state.withLock({ $0.response != nil }) { return queueResponse() }
        waker.suspend()
        if state.withLock({ $0.response != nil || $0.isAborted }) { waker.wake() }
        return .YES
    }

    private func queueResponse() -> MHD_Result {
        let (response, isHead) = state.withLock { state in
            state.phase = .answered
            return (state.response, state.isHead)
        }
        guard let response, let made = ResponseMaker.make(response, isHead: isHead, for: self) else { return .NO }
        defer { MHD_destroy_response(made) }
        return MHD_queue_response(connection.raw, UInt32(clamping: response.status.rawValue), made)
    }
}

/// What happens to a request besides the server's thread.
extension Exchange {
    /// - Parameter executor: where it goes on once it has waited; nil for Swift's pool.
    private func run(on executor: InPlaceExecutor? = nil, _ handle: @escaping @Sendable () async -> HTTPResponse) {
        // It begins here, on the server's thread; the router decides where it goes on.
        let task = Task.immediate(executorPreference: executor) {
            let response = await handle()
            answer(response)
            guard !state.withLock({ $0.isHead }), response.status != .notModified, case .stream(_, let write) = response.body
            else { return }
            do {
                try await write(HTTPBodyWriter(pipe: outgoing))
                outgoing.finish()
            } catch is CancellationError where response.endsWhenCancelled && core.isStopping {
                outgoing.finish()
            } catch {
                outgoing.fail(error)
            }
        }
        let isLate = state.withLock { state in
            state.task = task
            return state.isAborted
        }
        if isLate { task.cancel() }
    }

    private func answer(_ response: HTTPResponse) {
        state.withLock { if !$0.isAborted { $0.response = response } }
        // Only a streamed answer can still read the body.
        if case .stream = response.body {} else { incoming?.fail(Self.bodyLost) }
        waker.wake()
    }

    /// The handler asks for the body.
    func wantBody() {
        let isNew = state.withLock { state in
            defer { state.wantsBody = true }
            return !state.wantsBody
        }
        if isNew { waker.wake() }
    }

    /// The client is gone, the answer is sent, or the server stops: nothing of this exchange is needed any more.
    func abort() {
        let (task, webSocket, pipes) = state.withLock { state in
            state.isAborted = true
            // A streamed answer may hold the request, whose body holds this exchange.
            state.response = nil
            return (state.task.take(), state.webSocket.take(), [state.incoming, state.outgoing])
        }
        task?.cancel()
        webSocket?.end(WebSocket.Broken())
        for pipe in pipes { pipe?.fail(CancellationError()) }
        waker.wake()
    }

    /// The client has closed its end. A half-closed connection may still want its answer, but not an endless stream.
    func clientLeft(isReset: Bool) {
        if isReset || state.withLock({ $0.response?.endsWhenCancelled == true }) { abort() }
    }

    /// The client has closed its end for some time, and the handler still runs.
    func abortUnanswered() {
        if state.withLock({ $0.response == nil }) { abort() }
    }

    /// How much of the body has come; nil unless the client could be sending now.
    func receivedWhileRoom() -> UInt64? {
        let (phase, discarded, pipe) = state.withLock { ($0.phase, $0.discarded, $0.incoming) }
        guard case .receiving = phase, let pipe, !pipe.isFull else { return nil }
        return pipe.totalCount &+ UInt64(clamping: discarded)
    }

    /// Tells a stream that never ends by itself that the server stops.
    func endStream() {
        let (task, webSocket) = state.withLock { state in
            (state.response?.endsWhenCancelled == true ? state.task : nil, state.webSocket)
        }
        task?.cancel()
        webSocket?.goAway()
    }
}
