import Buckets
import Config
import Foundation
import HTTP
import Store

/// Does to a configured store what it is told, one JSON object a line on stdin, and answers with one a line on stdout.
enum StoreProbe {
    static func run() async {
        let environment = ProcessInfo.processInfo.environment
        let client = HTTPClient()
        var store: (any ObjectStore)?
        while let line = readLine() {
            var answer: Answer
            do {
                let command = try JSONDecoder().decode(Command.self, from: Data(line.utf8))
                if command.op == "open" {
                    store = try BucketStore.open(try command.settings(), client: client, environment: environment)
                    answer = Answer()
                } else if let store {
                    answer = try await command.perform(on: store)
                } else {
                    throw ProbeError(text: "open first")
                }
            } catch let error as StoreError {
                answer = Answer(error: error)
            } catch {
                answer = Answer(error: "probe", text: "\(error)")
            }
            try? FileHandle.standardOutput.write(contentsOf: Data((answer.description + "\n").utf8))
        }
    }
}

struct ProbeError: Error {
    let text: String
}

/// One line from the test.
struct Command: Decodable {
    let op: String
    var type, bucket, root, region, endpoint, accessKey, secret, token, key, text, file, tag, prefix, after, contentType: String?
    var virtualHost: Bool?
    var disableConfigLoad: Bool?
    var ifAbsent: Bool?
    var from, to: Int64?
    var limit, seconds: Int?
    var keys: [String]?
    var method: String?
    var agoSeconds: Int64?

    func settings() throws -> StorageSettings {
        switch type {
        case "s3":
            return .s3(
                StorageSettings.S3(
                    bucket: bucket ?? "", root: root ?? "", region: region ?? "", endpoint: endpoint ?? "",
                    accessKeyID: accessKey ?? "", secretAccessKey: secret ?? "", sessionToken: token ?? "",
                    isConfigLoadDisabled: disableConfigLoad ?? false, isVirtualHostStyle: virtualHost ?? false))
        case "oss":
            return .oss(
                StorageSettings.OSS(
                    bucket: bucket ?? "", root: root ?? "", region: region ?? "", endpoint: endpoint ?? "",
                    accessKeyID: accessKey ?? "", accessKeySecret: secret ?? "", securityToken: token ?? ""))
        default: return .fs(root: root ?? ".")
        }
    }

    func perform(on store: any ObjectStore) async throws -> Answer {
        switch op {
        case "put": return Answer(try await store.put(try name, Array((text ?? "").utf8), condition: condition))
        case "putFile": return try await putFile(store)
        case "get": return try await get(store)
        case "head": return Answer(try await store.head(try name))
        case "list":
            let page = try await store.list(prefix: prefix ?? "", after: after, limit: limit ?? 1_000)
            return Answer(page)
        case "delete": try await store.delete(try name)
        case "deleteAll": try await store.deleteAll(try (keys ?? []).map { try ObjectKey($0) })
        case "presign":
            let now = Int64(Date().timeIntervalSince1970 * 1_000_000) - (agoSeconds ?? 0) * 1_000_000
            let url = try await store.presign(
                method == "PUT" ? .put : .get, try name, seconds: seconds ?? 60, nowUs: now)
            return Answer(text: url)
        case "ping": try await store.ping()
        case "conditions": return Answer(flag: try await store.supportsConditions())
        case "sweep":
            guard let store = store as? RemoteBucket else { throw ProbeError(text: "only buckets") }
            return Answer(count: try await store.abortStaleUploads(olderThanUs: .max))
        default: throw ProbeError(text: "unknown op \(op)")
        }
        return Answer()
    }

    private var name: ObjectKey {
        get throws { try ObjectKey(key ?? "") }
    }

    private var condition: PutCondition {
        if let tag { return .matches(tag) }
        return ifAbsent == true ? .absent : .none
    }

    private func putFile(_ store: any ObjectStore) async throws -> Answer {
        let path = file ?? ""
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ProbeError(text: "can't open \(path)") }
        defer { close(descriptor) }
        var status = stat()
        fstat(descriptor, &status)
        let info = ObjectInfo(key: try name, size: Int64(status.st_size), etag: "", modifiedUs: 0)
        return Answer(
            try await store.put(
                try name, file: LocalFile(descriptor: descriptor, info: info), contentType: contentType,
                ifAbsent: ifAbsent ?? false))
    }

    /// Into `file` where one is named, else as text.
    private func get(_ store: any ObjectStore) async throws -> Answer {
        let body = try await store.get(try name, range: from.map { $0..<(to ?? .max) })
        var bytes: [UInt8] = []
        for try await chunk in body.chunks { bytes += chunk }
        var answer = Answer(body.info)
        answer.count = bytes.count
        if let file {
            try Data(bytes).write(to: URL(fileURLWithPath: file))
        } else {
            answer.text = String(decoding: bytes, as: UTF8.self)
        }
        return answer
    }
}

/// One line to the test.
struct Answer: Encodable, CustomStringConvertible {
    struct Object: Encodable {
        let key: String
        let size: Int64
        let etag: String
        let modifiedUs: Int64

        init(_ info: ObjectInfo) {
            (key, size, etag, modifiedUs) = (info.key.path, info.size, info.etag, info.modifiedUs)
        }
    }

    var error: String?
    var text: String?
    var object: Object?
    var objects: [Object]?
    var continuation: String?
    var count: Int?
    var flag: Bool?

    init(error: String? = nil, text: String? = nil, count: Int? = nil, flag: Bool? = nil) {
        (self.error, self.text, self.count, self.flag) = (error, text, count, flag)
    }

    init(_ info: ObjectInfo) { object = Object(info) }

    init(_ page: ObjectPage) {
        objects = page.objects.map { Object($0) }
        continuation = page.continuation
    }

    /// The case's name, and all of it as text, as it would stand in a log.
    init(error: StoreError) {
        let text = "\(error)"
        self.init(error: String(text.prefix { $0 != "(" }.split(separator: ".").last ?? ""), text: text)
    }

    var description: String {
        (try? JSONEncoder().encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }
}
