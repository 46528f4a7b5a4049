import Foundation
import FoundationXML
import Media
import MediaFixtures
import Testing

/// Holds a directory's manifest against the objects in it (ISO/IEC 23009-1, DASH-IF timing).
struct ManifestCheck {
    let place: RecordingDirectory
    let directory: String

    init(_ place: RecordingDirectory, _ directory: String) {
        self.place = place
        self.directory = directory
    }

    private func attribute(_ name: String, _ element: XMLElement) -> String {
        element.attributes?.first { $0.name == name }?.stringValue ?? ""
    }

    private func number(_ name: String, _ element: XMLElement) -> Int64 {
        Int64(attribute(name, element)) ?? -1
    }

    private func seconds(_ text: String) -> Double {
        Double(text.dropFirst(2).dropLast()) ?? -1
    }

    /// - Parameters:
    ///   - periods: how many there must be; nil for any number above 0.
    ///   - seconds: how long the presentation is; nil when not looked at.
    /// - Returns: the objects the manifest names.
    @discardableResult
    func check(isStatic: Bool, periods: Int?, seconds expected: Double?) throws -> Set<String> {
        let text = String(decoding: try place.bytes(directory + "/manifest.mpd"), as: UTF8.self)
        let root = try #require(try XMLDocument(xmlString: text).rootElement())
        #expect(attribute("type", root) == (isStatic ? "static" : "dynamic"))
        #expect(attribute("minimumUpdatePeriod", root).isEmpty == isStatic)
        let list = root.elements(forName: "Period")
        if let periods { #expect(list.count == periods) } else { #expect(!list.isEmpty) }
        var objects: Set<String> = []
        var start = 0.0
        for period in list {
            if isStatic { #expect(abs(seconds(attribute("start", period)) - start) < 0.000_002) }
            let length = try checkPeriod(period, isStatic: isStatic, objects: &objects)
            let duration = isStatic ? seconds(attribute("duration", period)) : length
            // Where tracks go on behind a hole, one of them begins within a tick of the Period.
            #expect(abs(duration - length) < (isPiece(period) ? 0.000_05 : 0.000_002))
            start += duration
        }
        #expect(Set(list.map { attribute("id", $0) }).count == list.count)
        if isStatic { #expect(abs(seconds(attribute("mediaPresentationDuration", root)) - start) < 0.000_01) }
        if let expected { #expect(abs(start - expected) < 0.05) }
        return objects
    }

    /// Whether it goes on behind a hole, with the initialization objects of the one before it.
    private func isPiece(_ period: XMLElement) -> Bool { attribute("id", period).contains(".") }

    private func checkPeriod(_ period: XMLElement, isStatic: Bool, objects: inout Set<String>) throws -> Double {
        var longest = 0.0
        let sets = period.elements(forName: "AdaptationSet")
        #expect(!sets.isEmpty)
        for set in sets {
            let isVideo = attribute("mimeType", set).hasPrefix("video/")
            let representation = try #require(set.elements(forName: "Representation").first)
            #expect(number("bandwidth", representation) > 0)
            #expect(
                ["opus", "avc1.", "mp4a.40.2", "vp8", "vp09."].contains { attribute("codecs", representation).hasPrefix($0) })
            let template = try #require(representation.elements(forName: "SegmentTemplate").first)
            let timescale = number("timescale", template)
            let initialization = attribute("initialization", template)
            #expect(objects.insert(initialization).inserted || isPiece(period))
            let isWebM = initialization.hasSuffix(".webm")
            #expect(attribute("mimeType", set).hasSuffix(isWebM ? "/webm" : "/mp4"))
            let head = try place.bytes("\(directory)/\(initialization)")
            if !isWebM { #expect(try CMAFCheck.initialization(head, timescale: timescale) == []) }
            let offset = number("presentationTimeOffset", template)
            var end = offset
            var at = number("startNumber", template)
            for entry in try #require(template.elements(forName: "SegmentTimeline").first).elements(forName: "S") {
                if isPiece(period), end == offset {
                    // Tracks are cut together, but not to the sample.
                    #expect((end...end + timescale / 4).contains(number("t", entry)))
                    end = number("t", entry)
                } else if !attribute("t", entry).isEmpty {
                    #expect(number("t", entry) == end)
                }
                for _ in 0...max(0, number("r", entry)) {
                    let name = attribute("media", template).replacingOccurrences(
                        of: "$Number%04d$", with: String(format: "%04d", Int(at)))
                    #expect(objects.insert(name).inserted)
                    let bytes = try place.bytes("\(directory)/\(name)")
                    let times = end..<end + number("d", entry)
                    // Where an encoder made no key frame in time, the manifest does not promise one.
                    let isPromised = attribute("startWithSAP", set) == "1" || attribute("startWithSAP", representation) == "1"
                    if isWebM {
                        try checkClusters(bytes, times, startsWithSync: isPromised)
                    } else {
                        let (fragments, broken) = try CMAFCheck.segment(bytes, isVideo: isVideo)
                        #expect(broken.filter { isPromised || $0 != "segment starts with a sync sample" } == [])
                        #expect(fragments.first?.time == times.lowerBound && fragments.last?.end == times.upperBound)
                    }
                    end = times.upperBound
                    at += 1
                }
            }
            longest = max(longest, Double(end - offset) / Double(timescale))
        }
        return longest
    }

    /// Times in WebM are milliseconds.
    private func checkClusters(_ bytes: [UInt8], _ times: Range<Int64>, startsWithSync: Bool) throws {
        let scan = FragmentScanner(bytes)
        #expect(scan.wholeBytes == bytes.count && (scan.fragments.first?.startsWithSync == true || !startsWithSync))
        let extent = try #require(scan.extent)
        #expect(abs(extent.time - times.lowerBound) <= 90 && abs(extent.time + extent.duration - times.upperBound) <= 90)
    }
}
