import MediaPlane
import SDP

/// One track we send: numbering, header, history for NACKs, sender reports.
final class OutgoingStream {
    private static let historySlots = 1024
    private static let slotBytes = 1400

    let ssrc: UInt32
    let clockRate: Int64
    private let payloadType: UInt8
    private let cname: String
    private let midID: UInt8?
    private let mid: [UInt8]
    private let transportCCID: UInt8?
    /// Rollover counter and sequence number; starts low so that early loss cannot hide a wrap (RFC 3711 section 3.3.1).
    private var sequence = UInt64.random(in: 0..<32768)
    private let timestampBase = UInt32.random(in: .min ... .max)
    /// Datagrams as sent: a resend must be the same bytes, a second encryption would break AEAD.
    private let history: UnsafeMutableRawPointer
    private var historyCounts = [(sequence: UInt64, count: Int)](repeating: (.max, 0), count: OutgoingStream.historySlots)
    private(set) var packets: UInt32 = 0
    private(set) var octets: UInt32 = 0
    private(set) var resent = 0

    init(_ track: NegotiatedTrack) {
        ssrc = track.ssrc ?? UInt32.random(in: 1 ... .max)
        clockRate = Int64(track.codec.clockRate)
        payloadType = track.payloadType
        cname = track.cname
        midID = track.extensions.mid
        mid = Array(track.mid.utf8.prefix(16))
        transportCCID = track.extensions.transportCC
        history = .allocate(byteCount: Self.historySlots * Self.slotBytes, alignment: 16)
        // Touched before anything is timed: with many streams, finding the memory is a fifth of what sending costs.
        history.initializeMemory(as: UInt8.self, repeating: 0, count: Self.historySlots * Self.slotBytes)
    }

    deinit { history.deallocate() }

    /// RTP timestamp of a media time in ticks.
    func timestamp(_ ticks: Int64) -> UInt32 { timestampBase &+ UInt32(truncatingIfNeeded: ticks) }

    private func header(marker: Bool, timestamp: UInt32, transportNumber: inout UInt16) -> [UInt8] {
        var elements: [UInt8] = []
        if let midID, !mid.isEmpty { elements += [midID << 4 | UInt8(mid.count - 1)] + mid }
        if let transportCCID {
            elements += [transportCCID << 4 | 1, UInt8(transportNumber >> 8), UInt8(transportNumber & 0xFF)]
            transportNumber &+= 1
        }
        elements += [UInt8](repeating: 0, count: (4 - elements.count % 4) % 4)
        var bytes: [UInt8] = [elements.isEmpty ? 0x80 : 0x90, payloadType | (marker ? 0x80 : 0)]
        bytes += [UInt8(sequence >> 8 & 0xFF), UInt8(sequence & 0xFF)]
        for value in [timestamp, ssrc] { bytes += (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32($0))) } }
        if !elements.isEmpty { bytes += [0xBE, 0xDE, 0, UInt8(elements.count / 4)] + elements }
        return bytes
    }

    /// Encrypts one payload into the history and hands out the datagram.
    func send(
        _ payload: [UInt8], marker: Bool, timestamp: UInt32, transportNumber: inout UInt16, through transport: PeerTransport,
        _ emit: (UnsafeRawBufferPointer) -> Void
    ) {
        let header = header(marker: marker, timestamp: timestamp, transportNumber: &transportNumber)
        guard header.count + payload.count + Limits.srtpTrailerBytes <= Self.slotBytes else { return }
        let slot = Int(sequence % UInt64(Self.historySlots))
        let place = history + slot * Self.slotBytes
        let count = header.withUnsafeBytes { header in
            payload.withUnsafeBytes { payload in
                transport.protectRTP(header: header, payload: payload, extendedSequence: sequence, into: place)
            }
        }
        historyCounts[slot] = (sequence, count)
        sequence += 1
        guard count > 0 else { return }
        packets &+= 1
        octets &+= UInt32(payload.count)
        emit(UnsafeRawBufferPointer(start: place, count: count))
    }

    /// Hands out the datagrams of `missing` that are still in the history.
    func resend(_ missing: [UInt16], _ emit: (UnsafeRawBufferPointer) -> Void) {
        for number in missing {
            let behind = UInt16(truncatingIfNeeded: sequence) &- number
            guard behind > 0, behind <= Self.historySlots, UInt64(behind) <= sequence else { continue }
            let extended = sequence - UInt64(behind)
            let slot = Int(extended % UInt64(Self.historySlots))
            guard historyCounts[slot].sequence == extended, historyCounts[slot].count > 0 else { continue }
            resent += 1
            emit(UnsafeRawBufferPointer(start: history + slot * Self.slotBytes, count: historyCounts[slot].count))
        }
    }

    /// A compound sender report for this moment.
    func report(ntp: UInt64, ticks: Int64) -> [UInt8] {
        ControlPackets.senderReport(
            ssrc: ssrc, cname: cname, ntp: ntp, timestamp: timestamp(ticks), packets: packets, octets: octets)
    }
}
