extension LoopCore {
    /// Lets a peer whose DTLS is up into its stream's room, when data channels were agreed.
    func joinDataChannels(_ session: UnsafeMutablePointer<PeerSession>) {
        guard let place = directory.dataChannels, let agreed = session.pointee.dataChannels else { return }
        let handle = session.pointee.handle
        let link = place.thread.join(
            DataChannelOrder(
                room: DataChannelRoom(plane: place.plane, stream: handle.stream), isPublisher: handle.isPublisher,
                peerPort: agreed.port, messageBytes: agreed.messageBytes,
                send: { [mailbox] in mailbox.post($0, to: handle.id) }))
        session.pointee.dataLink = link
        session.pointee.withTransport { $0.receiveApplicationData { link.receive($0) } }
    }

    /// Encrypts what the data channel thread left for sessions of this loop.
    func sendRecords() {
        for record in mailbox.takeRecords() {
            guard let session = sessions[record.session] else { continue }
            session.pointee.withTransport { transport in
                record.packet.withUnsafeBytes { transport.sendApplicationData($0, output: &output.pointee) }
            }
            takeOutput(session)
        }
    }
}
