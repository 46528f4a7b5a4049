import Cluster
import Log
import Redis

/// The nodes that write themselves into Redis: one key a node with its record, one with its streams, both short-lived,
/// and a channel that tells whose have changed.
public final class RedisRegistry: NodeRegistry, NodeMemory {
    /// All nodes' records are read this often. A dead node's key lives up to three seconds, but its record stops changing at once.
    static let poll = Duration.milliseconds(500)
    /// Streams are read when a node says that they are others. Of so many nodes each time, in turn, they are read anyhow for the sake of
    /// their figures: of a small cluster that is all of them.
    static let refreshed = 10
    /// Of so many nodes the streams are read at once: more would only fill memory.
    static let streamsAtOnce = 50

    private let keys: StateKeys
    private let connection: RedisConnection
    private let subscriber: RedisSubscriber
    private let reader = RegistryReader()
    private let log = Logger("registry")

    /// Starts to connect; Redis need not be there yet.
    public init(_ address: RedisAddress, prefix: String) {
        keys = StateKeys(prefix: prefix)
        connection = RedisConnection(address)
        subscriber = RedisSubscriber(address, channels: [keys.changed])
    }

    /// Whether Redis answers now.
    public var status: RedisStatus { connection.status }

    /// Reports the nodes in Redis until the task is cancelled. While Redis is away nothing is reported, and the directory
    /// is told so: then its silence says nothing about the nodes.
    public func follow(into directory: NodeDirectory) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.hear(directory) }
            group.addTask { await self.pollAll(directory) }
            await group.next()
            group.cancelAll()
        }
        await subscriber.close()
        await connection.close()
    }

    /// Remembers in Redis that a node is drained, for every coordinator and across restarts.
    public func setDrained(_ alias: String, _ isDrained: Bool) async -> Bool {
        do throws(RedisError) {
            _ = try await connection.send(RedisCommand(isDrained ? "SADD" : "SREM", drainedKey, alias))
            _ = try await connection.send(RedisCommand("PUBLISH", keys.changed, alias))
            return true
        } catch {
            log.warning("a drain is only known here until Redis is back", ["node": alias, "reason": error.description])
            return false
        }
    }

    /// Remembers a node in Redis, its token with it, for every coordinator and across restarts.
    public func remember(_ node: ConfiguredNode) async -> Bool {
        do {
            let kept = try ClusterJSON.encode(Kept(url: node.url, token: node.token))
            _ = try await connection.send(RedisCommand(["HSET", addedKey, node.alias], bytes: kept))
            _ = try await connection.send(RedisCommand("PUBLISH", keys.changed, node.alias))
            return true
        } catch {
            log.warning("an added node is only known here until Redis is back", ["node": node.alias, "reason": "\(error)"])
            return false
        }
    }

    /// Forgets a node that was added.
    public func forget(_ alias: String) async -> Bool {
        do throws(RedisError) {
            _ = try await connection.send(RedisCommand("HDEL", addedKey, alias))
            _ = try await connection.send(RedisCommand("PUBLISH", keys.changed, alias))
            return true
        } catch {
            log.warning("a node is only removed here until Redis is back", ["node": alias, "reason": error.description])
            return false
        }
    }

    /// What stands in Redis; nil while it does not answer, then `follow` reports it later.
    public func decisions() async -> NodeDecisions? { try? await readDecisions() }

    private struct Kept: Codable {
        let url: String
        let token: String?
    }

    private var drainedKey: String { "\(keys.prefix):drained" }
    private var addedKey: String { "\(keys.prefix):added" }

    private func hear(_ directory: NodeDirectory) async {
        for await event in subscriber.events {
            guard !Task.isCancelled else { return }
            switch event {
            case .subscribed: break
            case .lost: await directory.registryIsDown()
            case .message(_, let payload):
                let alias = String(decoding: payload, as: UTF8.self)
                guard NodeAlias.isValid(alias) else { continue }
                await attempt(directory) { () async throws(RedisError) in
                    try await self.read([alias], into: directory)
                    await directory.take(try await self.readDecisions())
                }
            }
        }
    }

    private func pollAll(_ directory: NodeDirectory) async {
        while !Task.isCancelled {
            await attempt(directory) { () async throws(RedisError) in
                let found = try await self.scan()
                await directory.registryIsUp()
                let gone = Set(await directory.registeredAliases).subtracting(found)
                let aliases = found.union(gone).sorted()
                self.reader.refresh(aliases, Self.refreshed)
                try await self.read(aliases, into: directory)
                await directory.take(try await self.readDecisions())
            }
            try? await Task.sleep(for: Self.poll)
        }
    }

    private func attempt(_ directory: NodeDirectory, _ body: () async throws(RedisError) -> Void) async {
        do throws(RedisError) {
            try await body()
        } catch {
            await directory.registryIsDown()
        }
    }

    /// Aliases of all node keys.
    private func scan() async throws(RedisError) -> Set<String> {
        var found: Set<String> = []
        var cursor = "0"
        repeat {
            let answer = try await connection.send(RedisCommand("SCAN", cursor, "MATCH", keys.nodePattern, "COUNT", "5000"))
            guard let parts = answer.elements, parts.count == 2, let next = parts[0].text else { return found }
            for key in parts[1].elements ?? [] {
                if let alias = key.text.flatMap({ keys.alias(ofNodeKey: $0) }) { found.insert(alias) }
            }
            cursor = next
        } while cursor != "0"
        return found
    }

    private func read(_ aliases: [String], into directory: NodeDirectory) async throws(RedisError) {
        var wanted: [String] = []
        for (alias, value) in zip(aliases, try await connection.send(aliases.map { RedisCommand("GET", keys.node($0)) })) {
            switch value {
            case .bytes(let bytes):
                if await take(node: bytes, alias, directory) { wanted.append(alias) }
            case .null:
                reader.forget(alias)
                await directory.unregistered(alias)
            // Such as LOADING while Redis reads its file: nothing is known of the key.
            default: await directory.registryIsDown()
            }
        }
        for first in stride(from: 0, to: wanted.count, by: Self.streamsAtOnce) {
            let part = wanted[first..<min(first + Self.streamsAtOnce, wanted.count)]
            let readings = part.map { reader.beginReading($0) }
            let answers = try await connection.send(part.map { RedisCommand("GET", keys.streams($0)) })
            await withTaskGroup(of: Void.self) { group in
                for (reading, value) in zip(readings, answers) {
                    if let bytes = value.bytes { group.addTask { await self.take(streams: bytes, reading, directory) } }
                }
            }
        }
    }

    /// - Returns: whether its streams have to be read.
    private func take(node bytes: [UInt8], _ alias: String, _ directory: NodeDirectory) async -> Bool {
        guard reader.isNew(bytes, alias) else { return reader.wantsStreams(alias) }
        do throws(ClusterJSONError) {
            var record = try ClusterJSON.decode(NodeRecord.self, from: bytes)
            record.alias = alias
            reader.noteVersion(of: record)
            if await directory.heard(record, from: .registry) { reader.forgetStreams(alias) }
            return reader.wantsStreams(alias)
        } catch {
            // A node of another release writes it each second.
            if reader.isNew(problem: error.description, alias) {
                log.warning("a node's record can't be read", ["node": alias, "reason": error.description])
            }
            return false
        }
    }

    private func take(streams bytes: [UInt8], _ reading: RegistryReader.Reading, _ directory: NodeDirectory) async {
        do throws(ClusterJSONError) {
            let streams = try ClusterJSON.streams(from: bytes)
            if await directory.heard(streams, alias: reading.alias, reading: reading.number) { reader.hasRead(reading) }
        } catch {
            log.warning("a node's streams can't be read", ["node": reading.alias, "reason": error.description])
        }
    }

    private func readDecisions() async throws(RedisError) -> NodeDecisions {
        let answers = try await connection.send([RedisCommand("SMEMBERS", drainedKey), RedisCommand("HGETALL", addedKey)])
        guard answers.count == 2, let members = answers[0].elements, let fields = answers[1].elements else {
            throw .refused(answers.compactMap(\.text).joined(separator: "; "))
        }
        var added: [ConfiguredNode] = []
        for index in stride(from: 0, to: fields.count - 1, by: 2) {
            guard let alias = fields[index].text, NodeAlias.isValid(alias), let bytes = fields[index + 1].bytes,
                let kept = try? ClusterJSON.decode(Kept.self, from: bytes)
            else { continue }
            added.append(ConfiguredNode(alias: alias, url: kept.url, token: kept.token))
        }
        return NodeDecisions(added: added, drained: Set(members.compactMap(\.text)))
    }
}
