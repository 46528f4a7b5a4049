import CLinux
import Glibc
import MediaPlane

/// What a viewer was told about a track.
struct OutgoingIdentity: Sendable {
    let ssrc: UInt32
    let payloadType: UInt8
}

/// A viewer whose offer was answered, on its way to the sender.
// why: the maker gives the transport up when it hands this over.
struct Joining: @unchecked Sendable {  // why: see the line above
    let ufrag: String
    let transport: PeerTransport
    /// By the film's tracks; nil for one that the viewer doesn't want.
    let tracks: [OutgoingIdentity?]
}

/// A viewer that is sent to. In its own memory, which nothing moves.
struct FloorViewer: ~Copyable {
    let transport: PeerTransport
    let cipher: FloorCipher
    let tracks: UnsafeMutableBufferPointer<OutgoingIdentity?>
    let address: UnsafeMutablePointer<sockaddr_storage>
    let addressBytes: socklen_t

    init?(_ joining: Joining) {
        guard let keys = joining.transport.sendingKeys, let profile = joining.transport.profile,
            let address = joining.transport.selectedAddress, let cipher = FloorCipher(profile, keys)
        else { return nil }
        self.cipher = cipher
        transport = joining.transport
        tracks = .allocate(capacity: joining.tracks.count)
        _ = tracks.initialize(from: joining.tracks)
        self.address = .allocate(capacity: 1)
        self.address.initialize(to: sockaddr_storage())
        addressBytes = address.encode(into: self.address, dualStack: false)
    }

    deinit {
        tracks.deallocate()
        address.deallocate()
    }
}
