import Cluster
import Testing

@testable import Nodes

@Suite("What of the registry is read")
struct RegistryReaderTests {
    private let reader = RegistryReader()

    private func hear(_ alias: String, _ version: Int64?, startedAtMs: Int64 = 1) {
        reader.noteVersion(
            of: NodeRecord(alias: alias, url: "http://a", startedAtMs: startedAtMs, updatedAtMs: 1, streamsVersion: version))
    }

    @Test("bytes are decoded once")
    func records() {
        #expect(reader.isNew([1, 2], "a"))
        #expect(!reader.isNew([1, 2], "a"))
        #expect(reader.isNew([1, 2], "b"))
        #expect(reader.isNew([1, 3], "a"))
        reader.forget("a")
        #expect(reader.isNew([1, 3], "a"))
    }

    @Test("why a record can't be read is told once, until it can")
    func problems() {
        #expect(reader.isNew(problem: "version 2.0", "a"))
        #expect(!reader.isNew(problem: "version 2.0", "a"))
        #expect(reader.isNew(problem: "not JSON", "a"))
        #expect(reader.isNew(problem: "not JSON", "b"))
        hear("a", 1)
        #expect(reader.isNew(problem: "not JSON", "a"))
    }

    @Test("streams are read when their version is another, or that of another process, or when nobody counts")
    func versions() {
        #expect(!reader.wantsStreams("a"))
        hear("a", 4)
        #expect(reader.wantsStreams("a"))
        reader.hasRead(reader.beginReading("a"))
        hear("a", 4)
        #expect(!reader.wantsStreams("a"))
        hear("a", 5)
        #expect(reader.wantsStreams("a"))
        let asked = reader.beginReading("a")
        #expect(reader.beginReading("b").number > asked.number)
        hear("a", 6)
        reader.hasRead(asked)
        #expect(reader.wantsStreams("a"), "what came meanwhile is not read yet")
        reader.hasRead(reader.beginReading("a"))
        hear("a", 6, startedAtMs: 2)
        #expect(reader.wantsStreams("a"))
        reader.hasRead(reader.beginReading("a"))
        reader.forgetStreams("a")
        #expect(reader.wantsStreams("a"))
        hear("b", nil)
        reader.hasRead(reader.beginReading("b"))
        #expect(reader.wantsStreams("b"))
    }

    @Test("each node's streams have their turn, some at a time; of a few nodes all have it")
    func turns() {
        let aliases = (0..<7).map { "n\($0)" }
        for alias in aliases {
            hear(alias, 1)
            reader.hasRead(reader.beginReading(alias))
        }
        var read: [String] = []
        for _ in 0..<3 {
            reader.refresh(aliases, 3)
            let due = aliases.filter(reader.wantsStreams)
            #expect(due.count == 3)
            read += due
            for alias in due { reader.hasRead(reader.beginReading(alias)) }
        }
        #expect(Set(read) == Set(aliases))
        reader.refresh(aliases, 10)
        #expect(aliases.allSatisfy(reader.wantsStreams))
        reader.refresh([], 10)
    }
}
