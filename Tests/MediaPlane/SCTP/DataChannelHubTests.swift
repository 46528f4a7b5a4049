import Testing

@testable import MediaPlane

@Suite("Data channels between a publisher and viewers (RFC 8831, RFC 8261)", .serialized)
struct DataChannelHubTests {
    private static let lossy = ChannelReliability(isOrdered: false, limit: .retransmissions(0))

    @Test("the publisher is heard by all, a viewer by the publisher alone, on the channels of the label")
    func forwards() async throws {
        let (publisher, first, second) = try await ChannelLab.run { lab in
            let publisher = lab.join(1, isPublisher: true)
            let viewers = [lab.join(2), lab.join(3)]
            publisher.open("a", on: 0)
            publisher.open("b", on: 2)
            viewers[0].open("b", on: 4)
            viewers[0].open("a", on: 6)
            // No label in common: everything arrives on what there is.
            viewers[1].open("c", on: 8)
            lab.run(milliseconds: 50)
            publisher.say([1], on: 0)
            publisher.say([2], on: 2)
            viewers[0].say([3], on: 6)
            viewers[1].say([4], on: 8)
            lab.run(milliseconds: 50)
            return (publisher.summary, viewers[0].summary, viewers[1].summary)
        }
        #expect(Set(publisher) == ["0:[3]", "0:[4]", "2:[4]"])
        #expect(first == ["6:[1]", "4:[2]"])
        #expect(second == ["8:[1]", "8:[2]"])
    }

    @Test("a channel that the applications agreed on between themselves works once its owner has said something")
    func negotiated() async throws {
        let heard = try await ChannelLab.run { lab in
            let publisher = lab.join(1, isPublisher: true)
            let viewer = lab.join(2)
            viewer.say([9], on: 20)
            lab.run(milliseconds: 50)
            publisher.say([1], on: 30)
            lab.run(milliseconds: 50)
            return viewer.summary
        }
        #expect(heard == ["20:[1]"])
    }

    @Test("packets fit a record of 1200 bytes with DTLS around them; the largest message passes, a longer one does not")
    func sizes() async throws {
        let (largest, heard) = try await ChannelLab.run { lab in
            let publisher = lab.join(1, isPublisher: true)
            let viewer = lab.join(2)
            let modest = lab.join(3, messageBytes: 100)
            for client in [publisher, viewer, modest] { client.open("a", on: 0) }
            lab.run(milliseconds: 50)
            publisher.say([UInt8](repeating: 7, count: SCTPLimits.messageBytes), on: 0)
            lab.run(milliseconds: 500)
            publisher.say([UInt8](repeating: 8, count: SCTPLimits.messageBytes + 1), on: 0)
            lab.run(milliseconds: 500)
            publisher.say([9], on: 0)
            lab.run(milliseconds: 500)
            return (lab.largestPacket, [viewer.heard.map(\.bytes.count), modest.heard.map(\.bytes.count)])
        }
        #expect(heard == [[SCTPLimits.messageBytes, 1], [1]])
        #expect(largest > 1000 && largest + 37 <= Limits.dtlsDatagramBytes)
    }

    @Test("a viewer that takes nothing loses messages of a lossy channel; one with a reliable channel is closed; others hear all")
    func slow() async throws {
        let (states, counts) = try await ChannelLab.run { lab in
            let publisher = lab.join(1, isPublisher: true)
            let good = lab.join(2)
            let lossy = lab.join(3)
            let reliable = lab.join(4)
            publisher.open("a", on: 0)
            good.open("a", on: 0)
            lossy.open("a", on: 0, Self.lossy)
            reliable.open("a", on: 0)
            lab.run(milliseconds: 50)
            lossy.isDeaf = true
            reliable.isDeaf = true
            for round in 0..<20 {
                publisher.say([UInt8](repeating: UInt8(round), count: 16_000), on: 0)
                lab.run(milliseconds: 50)
            }
            let during = [2, 3, 4].map { lab.hub.isConnected($0) }
            lossy.isDeaf = false
            lab.run(milliseconds: 5000)
            publisher.say([99], on: 0)
            lab.run(milliseconds: 200)
            return (during, (good.heard.count, lossy.heard.count, lossy.heard.last?.bytes))
        }
        #expect(states == [true, true, false])
        #expect(counts.0 == 21)
        #expect(counts.1 < 21 && counts.2 == [99])
    }

    @Test("a viewer says so much in a second and no more; channels and streams have their number")
    func limits() async throws {
        let (heard, channels) = try await ChannelLab.run { lab in
            let (publisher, viewer) = lab.joinTwo()
            for _ in 0..<300 {
                viewer.say([1], on: 0)
                lab.pump()
            }
            for stream in 1..<100 { viewer.open("x", on: UInt16(stream)) }
            lab.run(milliseconds: 200)
            return (publisher.heard.count, lab.hub.channelCount(2))
        }
        #expect(heard >= Int(SCTPLimits.viewerMessageBurst) && heard < 200)
        #expect(channels == SCTPLimits.channelsPerPeer)
    }

    @Test("a channel that the peer closes is closed on our side too, and its stream can be used again")
    func reset() async throws {
        let (closed, heard) = try await ChannelLab.run { lab in
            let (publisher, viewer) = lab.joinTwo()
            viewer.association?.reset(stream: 0)
            lab.run(milliseconds: 500)
            let closed = viewer.closed
            publisher.say([1], on: 0)
            lab.run(milliseconds: 50)
            viewer.open("a", on: 0)
            lab.run(milliseconds: 50)
            publisher.say([2], on: 0)
            lab.run(milliseconds: 50)
            return (closed, viewer.summary)
        }
        #expect(closed == [0])
        #expect(heard == ["0:[2]"])
    }

    @Test("a peer whose association ended may begin another, a few times")
    func begins() async throws {
        let connected = try await ChannelLab.run { lab in
            _ = lab.join(1, isPublisher: true)
            return (0..<12).map { _ in
                let again = lab.rejoin(2)
                let isUp = again.isUp
                again.close()
                lab.run(milliseconds: 50)
                return isUp
            }
        }
        #expect(connected == (0..<12).map { $0 < SCTPLimits.associationsPerPeer })
    }

    @Test("damaged SCTP with right checksums is survived, makes no associations, and others go on")
    func hostile() async throws {
        let (isHeard, associations) = try await ChannelLab.run { lab in
            let publisher = lab.join(1, isPublisher: true)
            let bad = lab.join(2)
            let good = lab.join(3)
            for client in [publisher, bad, good] { client.open("a", on: 0) }
            lab.run(milliseconds: 50)
            bad.say([UInt8](repeating: 5, count: 3000), on: 0)
            bad.association?.reset(stream: 0)
            lab.run(milliseconds: 50)
            let seeds = lab.sentToHub
            var mutator = Mutator(seed: 9260)
            for round in 0..<4000 {
                lab.inject(mutator.mutate(seeds[round % seeds.count]).withChecksum(), from: 2)
                if round % 500 == 0 { lab.run(milliseconds: 20) }
            }
            publisher.say([42], on: 0)
            lab.run(milliseconds: 200)
            return (good.heard.contains { $0.bytes == [42] }, lab.hub.associationCount)
        }
        #expect(isHeard)
        #expect(associations <= 3)
    }
}

extension ChannelLab.Client {
    /// What was heard, as `stream:bytes`.
    var summary: [String] { heard.map { "\($0.stream):\($0.bytes)" } }
}
