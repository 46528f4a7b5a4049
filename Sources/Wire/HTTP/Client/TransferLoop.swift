import CCurl

/// The thread that runs all transfers of a client: libcurl's multi interface, woken by commands from tasks.
final class TransferLoop: Sendable {
    enum Command: Sendable {
        case start(Transfer)
        /// One of the pipes has moved on.
        case resume(UInt64)
        case cancel(UInt64)
    }

    private struct State {
        var commands: [Command] = []
        var nextID: UInt64 = 0
        var isStopping = false
        var isRunning = false
        var stoppers: [CheckedContinuation<Void, Never>] = []
    }

    /// What only the thread touches.
    private struct Running {
        var transfers: [UInt64: (transfer: Transfer, easy: EasyHandle)] = [:]
        var ids: [UnsafeMutableRawPointer: UInt64] = [:]
        var lastTickNs: UInt64 = 0
        /// Handles of plain requests that ended well.
        var spare: [UnsafeMutableRawPointer] = []
    }

    private static let spareMax = 64
    private static let isLibraryReady = ccurl_global() == CURLE_OK
    private let settings: HTTPClient.Settings
    private nonisolated(unsafe) let multi: OpaquePointer?  // why: only curl_multi_wakeup is called off the thread, which may be.
    private let state = Locked(State())

    init(_ settings: HTTPClient.Settings) {
        self.settings = settings
        multi = Self.isLibraryReady ? OpaquePointer(curl_multi_init()) : nil
        guard multi != nil else { return }
        set(CURLMOPT_MAX_HOST_CONNECTIONS, settings.maxConnectionsPerHost)
        set(CURLMOPT_MAXCONNECTS, 256)
        state.withLock { $0.isRunning = true }
        if !BlockingThread.start({ [self] in run() }) { state.withLock { $0.isRunning = false } }
    }

    deinit { if let multi { curl_multi_cleanup(UnsafeMutableRawPointer(multi)) } }

    private func set(_ option: CURLMoption, _ value: Int) {
        _ = ccurl_set_multi_long(multi.map { UnsafeMutableRawPointer($0) }, option, value)
    }

    // MARK: From tasks

    func makeTransfer(_ request: HTTPClientRequest, owner: HTTPClient) -> Transfer {
        let id = state.withLock { state in
            state.nextID &+= 1
            return state.nextID
        }
        return Transfer(id: id, request, loop: self, owner: owner, capacity: settings.bodyBufferBytes)
    }

    func post(_ command: Command) {
        let (isTaken, isFirst) = state.withLock { state in
            guard state.isRunning, !state.isStopping else { return (false, false) }
            state.commands.append(command)
            return (true, state.commands.count == 1)
        }
        // Who posted the first of those that wait has woken the thread already.
        if isFirst { wake() }
        if !isTaken, case .start(let transfer) = command { transfer.finish(.cancelled) }
    }

    private func wake() { curl_multi_wakeup(multi.map { UnsafeMutableRawPointer($0) }) }

    /// Gives up all transfers without waiting for the thread.
    func requestStop() {
        state.withLock { $0.isStopping = true }
        wake()
    }

    func stop() async {
        await withCheckedContinuation { continuation in
            let isRunning = state.withLock { state in
                state.isStopping = true
                if state.isRunning { state.stoppers.append(continuation) }
                return state.isRunning
            }
            if isRunning { wake() } else { continuation.resume() }
        }
    }

    // MARK: Thread

    private func run() {
        InPlaceExecutor.adoptThread()
        let multi = multi.map { UnsafeMutableRawPointer($0) }
        var running = Running()
        while true {
            let (commands, isStopping) = state.withLock { state in
                defer { state.commands = [] }
                return (state.commands, state.isStopping)
            }
            if isStopping { break }
            for command in commands { perform(command, &running) }
            var active: Int32 = 0
            curl_multi_perform(multi, &active)
            collect(&running)
            cutStalled(&running)
            var ready: Int32 = 0
            curl_multi_poll(multi, nil, 0, running.transfers.isEmpty ? 60_000 : 500, &ready)
        }
        end(&running)
    }

    private func end(_ running: inout Running) {
        let (commands, stoppers) = state.withLock { state in
            state.isRunning = false
            defer { (state.commands, state.stoppers) = ([], []) }
            return (state.commands, state.stoppers)
        }
        for id in running.transfers.keys { close(id, .cancelled, &running) }
        for easy in running.spare { curl_easy_cleanup(easy) }
        for case .start(let transfer) in commands { transfer.finish(.cancelled) }
        for stopper in stoppers { stopper.resume() }
    }

    private func perform(_ command: Command, _ running: inout Running) {
        switch command {
        case .start(let transfer):
            guard !transfer.isCancelled else { return transfer.finish(.cancelled) }
            let used = EasyHandle.isPlain(transfer.request) ? running.spare.popLast() : nil
            guard let easy = EasyHandle(transfer, settings, reusing: used) else { return transfer.finish(.badURL) }
            transfer.touch(ConnectionWatcher.now())
            running.transfers[transfer.id] = (transfer, easy)
            running.ids[easy.raw] = transfer.id
            curl_multi_add_handle(multi.map { UnsafeMutableRawPointer($0) }, easy.raw)
            transfer.startWriting()
        case .resume(let id):
            guard let easy = running.transfers[id]?.easy else { return }
            _ = ccurl_unpause(easy.raw)
        case .cancel(let id): close(id, .cancelled, &running)
        }
    }

    private func collect(_ running: inout Running) {
        var result = CURLE_OK
        while let easy = ccurl_next_done(multi.map { UnsafeMutableRawPointer($0) }, &result) {
            guard let id = running.ids[easy], let transfer = running.transfers[id]?.transfer else { continue }
            close(id, Self.error(result, transfer), &running)
        }
    }

    private func cutStalled(_ running: inout Running) {
        let now = ConnectionWatcher.now()
        guard now - running.lastTickNs > 250_000_000 else { return }
        running.lastTickNs = now
        for (id, entry) in running.transfers where entry.transfer.isStalled(now) { close(id, .timedOut, &running) }
    }

    private func close(_ id: UInt64, _ error: HTTPClientError?, _ running: inout Running) {
        guard let (transfer, easy) = running.transfers.removeValue(forKey: id) else { return }
        running.ids[easy.raw] = nil
        curl_multi_remove_handle(multi.map { UnsafeMutableRawPointer($0) }, easy.raw)
        if error == nil, easy.isPlain, running.spare.count < Self.spareMax {
            running.spare.append(easy.release())
        } else {
            easy.free()
        }
        transfer.finish(error)
    }

    private static func error(_ code: CURLcode, _ transfer: Transfer) -> HTTPClientError? {
        let text = String(cString: curl_easy_strerror(code))
        switch code {
        case CURLE_OK: return nil
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: return .badURL
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT, CURLE_INTERFACE_FAILED:
            return .cannotConnect(text)
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
            CURLE_SSL_CACERT_BADFILE,
            CURLE_SSL_ISSUER_ERROR:
            return .tls(text)
        case CURLE_OPERATION_TIMEDOUT: return .timedOut
        case CURLE_ABORTED_BY_CALLBACK: return .bodyFailed(transfer.bodyFailure ?? text)
        default: return .broken(text)
        }
    }
}
