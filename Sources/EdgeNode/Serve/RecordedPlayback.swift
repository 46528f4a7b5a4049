import HTTP
import Presentation
import Program
import Record
import Store

/// The node's own recordings as playback sees them.
struct RecordedPlayback: PlaybackSource {
    let recorder: Recorder
    let store: any ObjectStore
    /// The node's own name in its recordings.
    let alias: String

    var namesNodes: Bool { false }

    func streams() async throws -> [String] { Set(recorder.playable().map(\.stream)).sorted() }

    func page(_ query: RecordingQuery) async throws -> PlaybackPage {
        let all = Self.touching(recorder.playable(stream: query.stream), fromUs: query.fromUs, toUs: query.toUs).reversed()
        let rest = all.drop { recording in query.after.map { recording.startUs >= $0.startUs } ?? false }
        let shown = rest.prefix(query.limit)
        let live: Set = [alias]
        return PlaybackPage(
            rows: zip(shown, rest.dropFirst().map { $0 } + [nil]).map { PlaybackRow($0, after: $1, liveNodes: live) },
            next: rest.count > query.limit ? shown.last.map { RecordingCursor(after: $0) } : nil)
    }

    func material(stream: String, fromUs: Int64?, toUs: Int64?) async throws -> [RecordedMaterial] {
        let found = Self.touching(recorder.playable(stream: stream), fromUs: fromUs, toUs: toUs)
        guard found.count <= ManifestBound.recordingsMax else { throw ManifestBound.tooMuch }
        var bound = ManifestBound()
        var material: [RecordedMaterial] = []
        for recording in found {
            let periods: [IndexedPeriod]
            do throws(RecordError) {
                periods = try await recorder.periods(id: recording.session, fromUs: fromUs, toUs: toUs)
            } catch {
                // One that was removed just now is as good as never made.
                guard error == .notFound else { throw HTTPError(error) }
                continue
            }
            try bound.add(periods)
            // A range with an end is over, whatever happens behind it.
            let isGrowing = toUs == nil && recording.status == .active
            material.append(RecordedMaterial(recording: recording, periods: periods, isGrowing: isGrowing))
        }
        return material
    }

    func liveEdge(of stream: String) async -> LiveEdge? { recorder.liveEdge(stream: stream) }
    func awaitChange(of stream: String, past version: Int64, seconds: Double) async -> Bool {
        await recorder.awaitChange(stream: stream, past: version, seconds: seconds)
    }
    var segmentSecondsMax: Double { recorder.segmentSecondsMax }

    func recordingStart(stream: String, id: String?) async throws -> Int64? {
        recorder.playable(stream: stream).first { id == nil || $0.session == id }?.startUs
    }

    func object(_ key: String, node: String, for request: HTTPRequest) async throws -> ObjectStream {
        do throws(StoreError) {
            let body = try await store.get(try ObjectKey(key), range: nil)
            return ObjectStream {
                var pieces = body.chunks.makeAsyncIterator()
                return try await pieces.next()
            }
        } catch {
            throw HTTPError(error, about: key)
        }
    }

    private static func touching(_ all: [IndexedRecording], fromUs: Int64?, toUs: Int64?) -> [IndexedRecording] {
        all.filter { recording in
            (fromUs.map { from in recording.endUs.map { $0 > from } ?? true } ?? true)
                && (toUs.map { recording.startUs < $0 } ?? true)
        }
    }
}

extension PlaybackRoutes {
    /// Adds the routes, each behind the gate.
    func add(to router: inout Router, _ gate: Gate) {
        for route in all {
            router.get(route.pattern, route.description) { request in
                try gate.check(request, try route.access(request), mayStandInQuery: route.isMedia)
                return try await route.handler(request)
            }
            guard let link = route.link(gate) else { continue }
            router.post(link.pattern, link.description) { request in
                try gate.check(request, try link.access(request))
                return try await link.handler(request)
            }
        }
    }
}
