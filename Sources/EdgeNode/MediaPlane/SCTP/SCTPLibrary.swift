import CUSRSCTP

/// usrsctp, whose state is the process's: one thread alone calls it, ``DataChannelThread``, and its callbacks come back there.
enum SCTPLibrary {
    // why: touched by the data channel thread alone, from its start on; that holds for all of them.
    nonisolated(unsafe) private static var associations: [UInt: Unmanaged<SCTPAssociation>] = [:]  // why: see above
    nonisolated(unsafe) private static var active: Set<UInt> = []  // why: see above
    nonisolated(unsafe) private static var lastID: UInt = 0  // why: see above

    /// Sets the library up; its timers and packets are driven from here.
    static func start() {
        let settings = tributary_sctp_settings(
            local_port: SCTPLimits.port, streams: SCTPLimits.streams, path_mtu: SCTPLimits.pathMTU,
            send_buffer_bytes: Int32(SCTPLimits.sendBufferBytes), receive_buffer_bytes: Int32(SCTPLimits.receiveBufferBytes),
            rto_initial_ms: SCTPLimits.rtoInitialMs, rto_min_ms: SCTPLimits.rtoMinMs, rto_max_ms: SCTPLimits.rtoMaxMs,
            delayed_ack_ms: SCTPLimits.delayedAcknowledgementMs)
        tributary_sctp_start(
            settings,
            tributary_sctp_callbacks(output: sctpOutput, message: sctpMessage, change: sctpChange, reset: sctpReset))
    }

    /// A number for a new association, by which its callbacks find it; ``forget(_:)`` must follow before it is gone.
    static func register(_ association: SCTPAssociation) -> UInt {
        lastID += 1
        associations[lastID] = .passUnretained(association)
        return lastID
    }

    static func forget(_ id: UInt) {
        associations[id] = nil
        active.remove(id)
    }

    /// Lets time pass: retransmissions, delayed acknowledgements.
    static func advance(milliseconds: UInt32) { tributary_sctp_advance(milliseconds) }

    /// Associations that may have events which nobody took yet.
    static func takeActive() -> Set<UInt> {
        defer { active = [] }
        return active
    }

    fileprivate static func with(_ id: UInt, isEvent: Bool = true, _ body: (SCTPAssociation) -> Void) {
        guard let association = associations[id] else { return }
        if isEvent { active.insert(id) }
        association._withUnsafeGuaranteedRef(body)
    }
}

private func sctpOutput(_ id: UInt, _ packet: UnsafeRawPointer?, _ count: Int) {
    SCTPLibrary.with(id, isEvent: false) { $0.output(Array(UnsafeRawBufferPointer(start: packet, count: count))) }
}

private func sctpMessage(
    _ id: UInt, _ stream: UInt16, _ payload: UInt32, _ bytes: UnsafeRawPointer?, _ count: Int, _ isEnd: Int32
) {
    SCTPLibrary.with(id) {
        $0.take(UnsafeRawBufferPointer(start: bytes, count: count), stream: stream, payload: payload, isEnd: isEnd != 0)
    }
}

private func sctpChange(_ id: UInt, _ change: tributary_sctp_change) {
    SCTPLibrary.with(id) { $0.note(change == TRIBUTARY_SCTP_UP ? .up : .down) }
}

private func sctpReset(_ id: UInt, _ stream: UInt16) {
    SCTPLibrary.with(id) { $0.note(.reset(stream: stream)) }
}
