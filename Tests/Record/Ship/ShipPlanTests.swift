import MediaFixtures
import Testing

@testable import Record

@Suite("The order of uploads, and when they are tried again")
struct ShipPlanTests {
    private func object(_ number: Int, end: Int64) -> ShipPlan.Object {
        ShipPlan.Object(name: "seg_\(number)", bytes: 1000, finishedUs: Int64(number) * 1_000_000, journalEnd: end)
    }

    @Test("what was announced is taken back, but not a recording that began in another directory", arguments: ["d1", "d2"])
    func withdrawal(announced: String) {
        var plan = ShipPlan(limit: 4, seed: 1)
        plan.begin(id: "a", stream: "s", directory: "d1", startUs: 1, journalEnd: 10)
        plan.add(object(1, end: 20), to: "a")
        plan.withdraw(id: "a", stream: "s", directory: announced)
        let isSame = announced == "d1"
        #expect(plan.pendingBytes == (isSame ? 0 : 1000))
        let tasks = plan.next(nowNs: 1)
        let expected: [ShipPlan.Work] = isSame ? [.withdraw] : [.object(object(1, end: 20)), .withdraw]
        #expect(tasks.map(\.work) == expected)
        #expect(tasks.last?.directory == announced && tasks.allSatisfy { $0.recordingID == "a" })
        for task in tasks { plan.finish(task, .done(bytes: 1000), nowNs: 1) }
        #expect(plan.recordings.keys.sorted() == (isSame ? [] : ["a"]) && plan.pendingBytes == 0)
    }

    @Test(
        "what begins after all when it had been taken back is sent, whether or not that was under way",
        arguments: [false, true], [false, true])
    func begunAfterAll(isUnderWay: Bool, fails: Bool) {
        var plan = ShipPlan(limit: 4, seed: 1)
        plan.withdraw(id: "a", stream: "s", directory: "d")
        let taken = isUnderWay ? plan.next(nowNs: 1) : []
        #expect(taken.map(\.work) == (isUnderWay ? [.withdraw] : []))
        plan.begin(id: "a", stream: "s", directory: "d", startUs: 1, journalEnd: 10)
        plan.add(object(1, end: 20), to: "a")
        if isUnderWay { #expect(plan.next(nowNs: 1).isEmpty) }
        for task in taken { plan.finish(task, fails ? .failed(.local, retryAfterNs: nil) : .done(bytes: 0), nowNs: 1) }
        #expect(plan.pendingBytes == 1000)
        let sent = plan.next(nowNs: 10_000_000_000)
        #expect(sent.map(\.work) == [.object(object(1, end: 20))])
        for task in sent { plan.finish(task, .done(bytes: 1000), nowNs: 10_000_000_000) }
        #expect(plan.pendingBytes == 0)
        plan.end("a", journalEnd: 30)
        for task in plan.next(nowNs: 10_000_000_000) { plan.finish(task, .done(bytes: 10), nowNs: 10_000_000_000) }
        #expect(plan.pendingBytes == 0)
    }

    @Test("what a recording that was taken back had waiting does not count for ever")
    func withdrawnWithObjects() {
        var plan = ShipPlan(limit: 4, seed: 1)
        plan.withdraw(id: "a", stream: "s", directory: "d")
        plan.add(object(1, end: 20), to: "a")
        for task in plan.next(nowNs: 1) { plan.finish(task, .done(bytes: 0), nowNs: 1) }
        #expect(plan.recordings.isEmpty && plan.pendingBytes == 0)
    }

    @Test("a journal that is gone takes nothing out of the store but what only announced the recording", arguments: [0, 1, 2])
    func journalGone(sent: Int) {
        var plan = ShipPlan(limit: 1, seed: 1)
        plan.begin(id: "a", stream: "s", directory: "d", startUs: 1, journalEnd: 10)
        // The first is an initialization object.
        for number in 0...2 { plan.add(object(number, end: Int64(number) * 100), to: "a") }
        for _ in 0..<sent {
            for task in plan.next(nowNs: 1) { plan.finish(task, .done(bytes: 1000), nowNs: 1) }
        }
        plan.loseJournal(of: "a")
        #expect(plan.next(nowNs: 1).map(\.work) == (sent == 0 ? [.withdraw] : []))
        #expect(plan.pendingBytes == 0 && plan.isIdle == (sent > 0))
    }

    @Test("when something of a stream arrived last is forgotten of streams that are gone, once they are many")
    func lastUploads() {
        var state = Shipper.State(plan: ShipPlan(limit: 4, seed: 1))
        state.plan.begin(id: "a", stream: "going on", directory: "d", startUs: 1, journalEnd: 10)
        state.noteUpload(of: "going on", atUs: 1)
        for number in 2...10_000 { state.noteUpload(of: "s\(number)", atUs: Int64(number)) }
        #expect(state.lastUploads.count <= Shipper.State.lastUploadsMax)
        #expect(state.lastUploads["going on"] == 1 && state.lastUploads["s10000"] == 10_000 && state.lastUploads["s2"] == nil)
    }

    /// A store and recorders that do anything in any order, in simulated time.
    @Test("whatever fails: everything once acknowledged, in order, one at a time, the journal never ahead", arguments: 0..<60)
    func anything(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var plan = ShipPlan(limit: 4, seed: UInt64(seed))
        var nowNs: UInt64 = 1_000_000_000
        var running: [ShipPlan.Task] = []
        var expected: [String: [String]] = [:]
        var arrived: [String: [String]] = [:]
        var ends: [String: [Int64]] = [:]
        var published: [String: Int64] = [:]
        var complete: Set<String> = []
        let ids = (0..<6).map { "r\($0)" }
        for step in 0..<4000 {
            nowNs += UInt64.random(in: 0...300_000_000, using: &random)
            let isEnding = step > 2500
            let id = ids[Int.random(in: 0..<ids.count, using: &random)]
            if !isEnding, Int.random(in: 0..<3, using: &random) == 0 {
                if expected[id] == nil {
                    expected[id] = []
                    plan.begin(id: id, stream: id, directory: "d\(id.count)", startUs: Int64(step), journalEnd: 10)
                }
                let number = expected[id, default: []].count + 1
                let end = Int64(10 + number * 100)
                expected[id, default: []].append("seg_\(number)")
                ends[id, default: []].append(end)
                plan.add(object(number, end: end), to: id)
                if Int.random(in: 0..<20, using: &random) == 0 { plan.require(id, journalEnd: end + 5) }
            }
            if step == 2501 {
                for id in expected.keys { plan.end(id, journalEnd: (ends[id]?.last ?? 10) + 50) }
            }
            for task in plan.next(nowNs: nowNs) {
                #expect(!running.contains { $0.id == task.id })
                running.append(task)
            }
            #expect(running.count <= 4)
            guard !running.isEmpty, Int.random(in: 0..<2, using: &random) == 0 else { continue }
            let task = running.remove(at: Int.random(in: 0..<running.count, using: &random))
            let isBad = Int.random(in: 0..<4, using: &random) == 0 && step < 3500
            let failure = ShipFailure.allCases[Int.random(in: 0..<4, using: &random)]
            if isBad, failure != .denied {
                plan.finish(task, .failed(failure, retryAfterNs: nil), nowNs: nowNs)
                continue
            }
            switch task.work {
            case .object(let object): arrived[task.id, default: []].append(object.name)
            case .publish(let bytes, _):
                let sent = ends[task.id, default: []].prefix(arrived[task.id, default: []].count)
                let next = ends[task.id, default: []].dropFirst(sent.count).first ?? .max
                #expect(bytes < next && bytes >= published[task.id, default: 0])
                published[task.id] = bytes
            case .withdraw, .writeOff: Issue.record("nothing was withdrawn")
            }
            if plan.finish(task, .done(bytes: 10), nowNs: nowNs) { complete.insert(task.id) }
        }
        for _ in 0..<5000 where !plan.isIdle {
            nowNs += 1_000_000_000
            running += plan.next(nowNs: nowNs)
            guard let task = running.popLast() else { continue }
            if case .object(let object) = task.work { arrived[task.id, default: []].append(object.name) }
            if plan.finish(task, .done(bytes: 10), nowNs: nowNs) { complete.insert(task.id) }
        }
        #expect(arrived == expected.filter { !$0.value.isEmpty })
        #expect(complete == Set(expected.keys))
        #expect(plan.recordings.isEmpty && plan.pendingBytes == 0)
    }

    @Test("a store that is away gets one probe at a time, after longer and longer pauses; one success opens it")
    func probes() {
        var plan = ShipPlan(limit: 4, seed: 1)
        for number in 0..<8 {
            plan.begin(id: "r\(number)", stream: "s", directory: "d\(number)", startUs: 0, journalEnd: 1)
            plan.add(object(1, end: 10), to: "r\(number)")
        }
        var nowNs: UInt64 = 1
        let first = plan.next(nowNs: nowNs)
        #expect(first.count == 4)
        for task in first { plan.finish(task, .failed(.unavailable, retryAfterNs: nil), nowNs: nowNs) }
        var pauses: [UInt64] = []
        for _ in 0..<12 {
            let until = plan.weather.wakeNs ?? 0
            pauses.append(until - nowNs)
            #expect(plan.next(nowNs: until - 1).isEmpty)
            nowNs = until
            let probe = plan.next(nowNs: nowNs)
            #expect(probe.count == 1 && plan.next(nowNs: nowNs).isEmpty)
            for task in probe { plan.finish(task, .failed(.unavailable, retryAfterNs: nil), nowNs: nowNs) }
        }
        #expect(pauses[0] <= ShipWeather.firstNs && pauses.max() ?? 0 <= ShipWeather.longestNs)
        #expect(pauses.suffix(3).allSatisfy { $0 >= ShipWeather.longestNs / 2 })
        nowNs = plan.weather.wakeNs ?? 0
        for task in plan.next(nowNs: nowNs) { plan.finish(task, .done(bytes: 1), nowNs: nowNs) }
        #expect(plan.next(nowNs: nowNs).count == 4)
    }

    @Test("Retry-After is kept, and a store that refuses is asked once a minute")
    func refusals() {
        var weather = ShipWeather(seed: 3)
        weather.failed(.throttled, retryAfterNs: 45_000_000_000, nowNs: 0)
        #expect(weather.wakeNs == 45_000_000_000)
        weather.succeeded()
        weather.failed(.denied, retryAfterNs: nil, nowNs: 5)
        #expect(weather.state == .denied(untilNs: 5 + ShipWeather.deniedNs))
        // What was under way does not make it any sooner.
        weather.failed(.unavailable, retryAfterNs: nil, nowNs: 6)
        #expect(weather.wakeNs == 5 + ShipWeather.deniedNs)
    }

    @Test(
        "what the store never takes of one recording holds back that one alone, which is tried again",
        arguments: [ShipFailure.denied, .unavailable])
    func refusedRecording(_ failure: ShipFailure) {
        var plan = ShipPlan(limit: 4, seed: 1)
        let ids = ["r1", "r2", "r3"]
        for id in ids { plan.begin(id: id, stream: id, directory: id, startUs: 0, journalEnd: 1) }
        var nowNs: UInt64 = 1
        var arrived: [String: [String]] = [:]
        var refusals = 0
        for second in 1...700 {
            nowNs += 1_000_000_000
            if second <= 600 {
                for id in ids { plan.add(object(second, end: Int64(second) * 100), to: id) }
            }
            var tasks = plan.next(nowNs: nowNs)
            while !tasks.isEmpty {
                for task in tasks {
                    if task.id == "r1", second <= 600 {
                        refusals += 1
                        plan.finish(task, .failed(failure, retryAfterNs: nil, reason: "refused"), nowNs: nowNs)
                        continue
                    }
                    if case .object(let object) = task.work { arrived[task.id, default: []].append(object.name) }
                    plan.finish(task, .done(bytes: 10), nowNs: nowNs)
                }
                tasks = plan.next(nowNs: nowNs)
            }
            guard second == 600 else { continue }
            #expect(arrived["r1"] == nil && arrived["r2"]?.count == 600 && arrived["r3"]?.count == 600)
            #expect(plan.weather.state == .fair)
            #expect(plan.recordings["r1"]?.problem == "refused" && plan.recordings["r2"]?.problem == nil)
            #expect(refusals >= 9 && refusals <= 25)
        }
        #expect(arrived["r1"] == arrived["r2"])
        #expect(plan.recordings["r1"]?.problem == nil && plan.pendingBytes == 0)
    }

    @Test("when another recording is refused too it is the node: asked once a minute, each time for another")
    func refusedNode() {
        var plan = ShipPlan(limit: 1, seed: 1)
        for id in ["r1", "r2", "r3"] {
            plan.begin(id: id, stream: id, directory: id, startUs: 0, journalEnd: 1)
            plan.add(object(1, end: 100), to: id)
        }
        var nowNs: UInt64 = 1
        var asked: [String] = []
        for _ in 0..<4 {
            for task in plan.next(nowNs: nowNs) {
                asked.append(task.id)
                plan.finish(task, .failed(.denied, retryAfterNs: nil), nowNs: nowNs)
            }
            nowNs = plan.weather.wakeNs ?? nowNs
        }
        #expect(asked == ["r1", "r2", "r3", "r1"])
        #expect(nowNs == 1 + 3 * ShipWeather.deniedNs)
    }

    @Test("eighty recordings keep up with a store that takes 150 ms for each object")
    func manyRecordings() {
        var plan = ShipPlan(limit: 4, seed: 1)
        let ids = (0..<80).map { "r\($0)" }
        for id in ids { plan.begin(id: id, stream: id, directory: id, startUs: 0, journalEnd: 1) }
        var running: [(task: ShipPlan.Task, untilNs: UInt64)] = []
        var most = 0
        // Two minutes in steps of 50 ms; each recording has an object every two seconds.
        for step in 1...2_400 {
            let nowNs = UInt64(step) * 50_000_000
            for done in running where done.untilNs <= nowNs { plan.finish(done.task, .done(bytes: 1_000), nowNs: nowNs) }
            running.removeAll { $0.untilNs <= nowNs }
            for (index, id) in ids.enumerated() where (step + index) % 40 == 0 {
                plan.add(object(step, end: Int64(step) * 100), to: id)
            }
            for task in plan.next(nowNs: nowNs) { running.append((task, nowNs + 150_000_000)) }
            most = max(most, running.count)
        }
        #expect(most <= 20)
        #expect(plan.pendingObjects <= 80)
    }

    @Test("the journal says that an object is gone when the recording has ended, before it is published for the last time")
    func lost() {
        var plan = ShipPlan(limit: 1, seed: 1)
        plan.begin(id: "r", stream: "s", directory: "d", startUs: 0, journalEnd: 10)
        plan.add(object(1, end: 100), to: "r")
        plan.add(object(2, end: 200), to: "r")
        for task in plan.next(nowNs: 1) { plan.finish(task, .lost, nowNs: 1) }
        let second = plan.next(nowNs: 1)
        #expect(second.map { $0.work.object?.name } == ["seg_2"])
        for task in second { plan.finish(task, .done(bytes: 10), nowNs: 1) }
        // While it goes on it is published as it is.
        let live = plan.next(nowNs: 1)
        #expect(live.map(\.work) == [.publish(journalBytes: 200, isFinal: false)])
        for task in live { plan.finish(task, .done(bytes: 10), nowNs: 1) }
        plan.end("r", journalEnd: 250)
        let writing = plan.next(nowNs: 1)
        #expect(writing.map(\.work) == [.writeOff(names: ["seg_1"])])
        for task in writing { plan.finish(task, .done(bytes: 310), nowNs: 1) }
        let last = plan.next(nowNs: 1)
        #expect(last.map(\.work) == [.publish(journalBytes: 310, isFinal: true)])
        for task in last { plan.finish(task, .done(bytes: 10), nowNs: 1) }
        #expect(plan.recordings.isEmpty && plan.isIdle)
    }

    @Test("objects that vanished one after the other are told of at once: when something is there again, or nothing waits")
    func vanished() {
        var plan = ShipPlan(limit: 1, seed: 1)
        plan.begin(id: "r", stream: "s", directory: "d", startUs: 0, journalEnd: 10)
        for number in 1...2001 { plan.add(object(number, end: Int64(number) * 100), to: "r") }
        var told: [ShipPlan.Vanished] = []
        func finish(_ outcome: ShipPlan.Outcome) {
            for task in plan.next(nowNs: 1) {
                plan.finish(task, outcome, nowNs: 1)
                told += plan.takeVanished(of: task.id, after: outcome).map { [$0] } ?? []
            }
        }
        for _ in 1...1000 { finish(.lost) }
        #expect(told.isEmpty)
        finish(.done(bytes: 1000))
        #expect(told == [ShipPlan.Vanished(first: "seg_1", count: 1000)])
        for _ in 0..<3000 where plan.pendingObjects > 0 { finish(.lost) }
        #expect(told.count == 2 && told.last == ShipPlan.Vanished(first: "seg_1002", count: 1000))
        // One that is found to be gone as soon as it was made.
        plan.add(object(2002, end: 200_300), to: "r")
        for _ in 0..<10 where plan.pendingObjects > 0 { finish(.lost) }
        #expect(told.count == 3 && told.last == ShipPlan.Vanished(first: "seg_2002", count: 1))
    }

    @Test("a journal that can't be written to keeps nothing from being published")
    func lostWithJournal() {
        var plan = ShipPlan(limit: 1, seed: 1)
        plan.begin(id: "r", stream: "s", directory: "d", startUs: 0, journalEnd: 10)
        plan.add(object(1, end: 100), to: "r")
        plan.end("r", journalEnd: 150)
        for _ in 0..<2 { for task in plan.next(nowNs: 1) { plan.finish(task, .lost, nowNs: 1) } }
        #expect(plan.next(nowNs: 1).map(\.work) == [.publish(journalBytes: 150, isFinal: true)])
    }

    @Test("a long backlog and live recordings take turns")
    func turns() {
        var plan = ShipPlan(limit: 1, seed: 1)
        for (id, start) in [("old", Int64(1)), ("older", 0), ("live", 5)] {
            plan.begin(id: id, stream: id, directory: id, startUs: start, journalEnd: 1)
            for number in 1...50 { plan.add(object(number, end: Int64(number) * 1000), to: id) }
        }
        plan.end("old", journalEnd: 60_000)
        plan.end("older", journalEnd: 60_000)
        var order: [String] = []
        for step in 0..<40 {
            for task in plan.next(nowNs: UInt64(step)) {
                if case .object = task.work { order.append(task.id) }
                plan.finish(task, .done(bytes: 10_000_000), nowNs: UInt64(step))
            }
        }
        #expect(order.filter { $0 == "live" }.count >= 15 && order.filter { $0 == "older" }.count >= 15)
        #expect(!order.contains("old"))
    }

    /// 24 hours, 4 s segments with a little more or less, in simulated time; sizes of lines as they are written.
    @Test("manifests and journals cost at most a hundredth of the media of a day", arguments: [2_500_000, 500_000, 64_000])
    func cost(bitsPerSecond: Int) {
        var random = SeededGenerator(seed: 7)
        var plan = ShipPlan(limit: 4, seed: 1)
        var (nowNs, end, media, spent, publications) = (UInt64(1), Int64(200), Int64(0), Int64(0), 0)
        plan.begin(id: "r", stream: "s", directory: "d", startUs: 0, journalEnd: end)
        let tracks = bitsPerSecond > 64_000 ? 2 : 1
        func run() {
            while let task = plan.next(nowNs: nowNs).first {
                var cost: Int64 = 0
                if case .publish(let journal, _) = task.work {
                    // An S element for each line of the journal.
                    cost = journal + journal / 130 * 30
                    spent += cost
                    publications += 1
                }
                plan.finish(task, .done(bytes: cost), nowNs: nowNs)
            }
        }
        for number in 1...21_600 {
            let lengthMs = Int64.random(in: 3900...4100, using: &random)
            nowNs += UInt64(lengthMs) * 1_000_000
            for _ in 0..<tracks {
                end += 130
                let bytes = Int64(bitsPerSecond) / 8 * lengthMs / 1000 / Int64(tracks)
                media += bytes
                plan.add(
                    ShipPlan.Object(name: "\(number)-\(end)", bytes: bytes, finishedUs: Int64(nowNs / 1000), journalEnd: end),
                    to: "r")
            }
            run()
        }
        plan.end("r", journalEnd: end + 60)
        run()
        #expect(plan.isIdle)
        #expect(Double(spent) <= 0.01 * Double(media), "\(Double(spent) / Double(media))")
        #expect(publications >= 10)
    }
}
