import CMicrohttpd
import CWslay

#if canImport(Glibc)
    import Glibc
#endif

/// Moves frames between a socket's descriptor and the pipes of a ``WebSocket``; the framing is wslay's. For one thread only.
final class WebSocketSession {
    enum Outcome: Equatable {
        /// Call again when the descriptor is readable (if wanted), writable (if wanted), or a pipe has moved.
        case open(reads: Bool, writes: Bool)
        /// Both sides have said goodbye.
        case closed
        /// The client vanished, went silent, or broke the protocol.
        case broken
    }

    static let pingNs: UInt64 = 15_000_000_000
    static let silenceNs: UInt64 = 45_000_000_000
    static let closingNs: UInt64 = 3_000_000_000
    /// What the framing may hold of outgoing messages; the rest waits in the pipe.
    private static let framingBytes = 64 << 10

    private let descriptor: Int32
    private let incoming: BytePipe
    private let outgoing: BytePipe
    private var framing: wslay_event_context_ptr?
    /// Bytes that came together with the request.
    private var early: ArraySlice<UInt8>
    private var lastReceivedNs: UInt64
    private var lastPingNs: UInt64
    private var closingSinceNs: UInt64?
    /// Our close frame; the framing would send it before the messages, so it waits until they are out.
    private var goodbye: [UInt8]?
    private var nowNs: UInt64

    /// Nil when there is no memory.
    init?(descriptor: Int32, socket: WebSocket, early: [UInt8], messageBytesMax: Int, nowNs: UInt64) {
        self.descriptor = descriptor
        (incoming, outgoing) = (socket.incoming, socket.outgoing)
        self.early = early[...]
        (lastReceivedNs, lastPingNs, self.nowNs) = (nowNs, nowNs, nowNs)
        var callbacks = wslay_event_callbacks()
        callbacks.recv_callback = onFrameBytesWanted
        callbacks.send_callback = onFrameBytesReady
        callbacks.on_msg_recv_callback = onMessage
        guard wslay_event_context_server_init(&framing, &callbacks, Unmanaged.passUnretained(self).toOpaque()) == 0 else {
            return nil
        }
        wslay_event_config_set_max_recv_msg_length(framing, UInt64(messageBytesMax))
    }

    deinit { if let framing { wslay_event_context_free(framing) } }

    /// Does all that can be done now.
    func service(_ nowNs: UInt64) -> Outcome {
        self.nowNs = nowNs
        keepAlive()
        let isReadFine = wslay_event_want_read(framing) == 0 || wslay_event_recv(framing) == 0
        if isReadFine { queueOutgoing() }
        // After a broken frame this still tells the client goodbye.
        guard wslay_event_send(framing) == 0, isReadFine else { return .broken }
        if queueGoodbye(), wslay_event_send(framing) != 0 { return .broken }
        let (reads, isWriting) = (wslay_event_want_read(framing) != 0, wslay_event_want_write(framing) != 0)
        if !reads && !isWriting {
            let code = wslay_event_get_status_code_received(framing)
            let isClean = wslay_event_get_close_received(framing) != 0 && code != UInt16(WSLAY_CODE_ABNORMAL_CLOSURE.rawValue)
            return isClean ? .closed : .broken
        }
        if wslay_event_get_close_sent(framing) != 0 { closingSinceNs = closingSinceNs ?? nowNs }
        if let closingSinceNs, nowNs - closingSinceNs > Self.closingNs { return .broken }
        if nowNs - lastReceivedNs > Self.silenceNs, !incoming.isFull { return .broken }
        let mayRead = reads && !incoming.parkWriter()
        // With something in the pipe already there is something to write at once; a finished pipe is never parked.
        let writes = isWriting || (!outgoing.parkReader() && outgoing.count > 0)
        return .open(reads: mayRead, writes: writes)
    }

    private func keepAlive() {
        guard nowNs - lastPingNs >= Self.pingNs else { return }
        lastPingNs = nowNs
        var ping = wslay_event_msg(opcode: Opcode.ping, msg: nil, msg_length: 0)
        wslay_event_queue_msg(framing, &ping)
    }

    private func queueOutgoing() {
        while goodbye == nil, wslay_event_get_queued_msg_length(framing) < Self.framingBytes, let chunk = outgoing.takeChunk() {
            guard let opcode = chunk.first, opcode != Opcode.close else {
                goodbye = chunk
                return
            }
            chunk.dropFirst().withUnsafeBytes { payload in
                let bytes = payload.assumingMemoryBound(to: UInt8.self)
                var message = wslay_event_msg(opcode: opcode, msg: bytes.baseAddress, msg_length: bytes.count)
                wslay_event_queue_msg(framing, &message)
            }
        }
    }

    /// True when our close frame has just been queued.
    private func queueGoodbye() -> Bool {
        guard let chunk = goodbye, chunk.count >= 3, wslay_event_get_queued_msg_count(framing) == 0 else { return false }
        goodbye = []
        let reason = Array(chunk[3...])
        return wslay_event_queue_close(framing, UInt16(chunk[1]) << 8 | UInt16(chunk[2]), reason, reason.count) == 0
    }

    // MARK: Called by the framing

    fileprivate func read(_ context: wslay_event_context_ptr?, into target: UnsafeMutableRawBufferPointer) -> Int {
        if !early.isEmpty {
            let count = min(early.count, target.count)
            target.copyBytes(from: early.prefix(count))
            early = early.dropFirst(count)
            return count
        }
        // A full queue leaves the bytes in the socket, so that the client has to wait.
        guard !incoming.isFull else { return fail(context, WSLAY_ERR_WOULDBLOCK) }
        let count = cmicrohttpd_receive_now(descriptor, target.baseAddress, target.count)
        if count > 0 {
            lastReceivedNs = nowNs
            return count
        }
        let mayRetry = count < 0 && (errno == EAGAIN || errno == EINTR)
        return fail(context, mayRetry ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE)
    }

    fileprivate func write(_ context: wslay_event_context_ptr?, _ bytes: UnsafeRawBufferPointer, hasMore: Bool) -> Int {
        let count = cmicrohttpd_send_now(descriptor, bytes.baseAddress, bytes.count, hasMore ? 1 : 0)
        if count >= 0 { return count }
        return fail(context, errno == EAGAIN || errno == EINTR ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE)
    }

    private func fail(_ context: wslay_event_context_ptr?, _ error: wslay_error) -> Int {
        wslay_event_set_error(context, Int32(error.rawValue))
        return -1
    }

    fileprivate func received(_ opcode: UInt8, _ payload: UnsafeRawBufferPointer) {
        guard opcode == Opcode.text || opcode == Opcode.binary else { return }
        _ = incoming.offer([opcode] + payload)
    }
}

private func session(_ context: UnsafeMutableRawPointer?) -> WebSocketSession? {
    context.map { Unmanaged<WebSocketSession>.fromOpaque($0).takeUnretainedValue() }
}

private func onFrameBytesWanted(
    _ context: wslay_event_context_ptr?, _ bytes: UnsafeMutablePointer<UInt8>?, _ count: Int, _ flags: Int32,
    _ user: UnsafeMutableRawPointer?
) -> Int {
    session(user)?.read(context, into: UnsafeMutableRawBufferPointer(start: bytes, count: count)) ?? -1
}

private func onFrameBytesReady(
    _ context: wslay_event_context_ptr?, _ bytes: UnsafePointer<UInt8>?, _ count: Int, _ flags: Int32,
    _ user: UnsafeMutableRawPointer?
) -> Int {
    let hasMore = flags & Int32(WSLAY_MSG_MORE.rawValue) != 0
    return session(user)?.write(context, UnsafeRawBufferPointer(start: bytes, count: count), hasMore: hasMore) ?? -1
}

private func onMessage(
    _ context: wslay_event_context_ptr?, _ message: UnsafePointer<wslay_event_on_msg_recv_arg>?, _ user: UnsafeMutableRawPointer?
) {
    guard let message = message?.pointee else { return }
    session(user)?.received(message.opcode, UnsafeRawBufferPointer(start: message.msg, count: message.msg_length))
}
