import SDP
import Synchronization

/// One access unit or audio frame, ready to be packetised.
package struct MediaSample: Sendable {
    /// Index into the tracks of the input.
    package let track: Int
    /// When it is due on the input's own timeline, in microseconds.
    package let timeUs: Int64
    /// Presentation time in the track's RTP clock.
    package let ticks: Int64
    package let isKey: Bool
    /// NAL units without start codes; one frame for audio.
    package let units: [[UInt8]]
}

/// A track of the input and how it is offered.
package struct MediaTrack: Sendable {
    package let kind: MediaKind
    package let codec: Codec
}

/// Samples on their way from the reading thread to the sending one: bounded, so that a pipe's writer is slowed down and memory is not filled.
package final class SampleFeed: Sendable {
    private struct State {
        var samples: [MediaSample] = []
        var head = 0
        var hasEnded = false
        var isStopped = false
    }

    private static let capacity = 512
    private let state = Mutex(State())

    /// Adds one; false when there is no room yet.
    package func push(_ sample: MediaSample) -> Bool {
        state.withLock { state in
            guard state.samples.count - state.head < Self.capacity else { return false }
            state.samples.append(sample)
            return true
        }
    }

    /// No more will come.
    package func finish() { state.withLock { $0.hasEnded = true } }

    /// Nobody takes any more.
    package func stop() { state.withLock { $0.isStopped = true } }

    package var isStopped: Bool { state.withLock { $0.isStopped } }

    /// True when the input is at its end and everything was taken.
    package var isDrained: Bool { state.withLock { $0.hasEnded && $0.head == $0.samples.count } }

    /// The next sample's time, if one is there.
    package var nextTimeUs: Int64? {
        state.withLock { $0.head < $0.samples.count ? $0.samples[$0.head].timeUs : nil }
    }

    /// Takes the next sample.
    package func pop() -> MediaSample? {
        state.withLock { state in
            guard state.head < state.samples.count else { return nil }
            defer {
                state.head += 1
                if state.head >= Self.capacity {
                    state.samples.removeFirst(state.head)
                    state.head = 0
                }
            }
            return state.samples[state.head]
        }
    }
}
