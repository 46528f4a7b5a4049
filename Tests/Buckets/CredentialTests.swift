import Config
import Foundation
import HTTP
import Store
import Synchronization
import Testing

@testable import Buckets

@Suite("Where credentials come from", .serialized)
struct CredentialTests {
    private static let json =
        "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIAROLE\",\"SecretAccessKey\":\"S\",\"Token\":\"T\",\"Expiration\":\"2026-11-21T04:04:05Z\"}"
    private static let role = BucketCredentials(
        accessKeyID: "ASIAROLE", secret: "S", token: "T", expiresUs: BasicDate.parse("2026-11-21T04:04:05Z"))
    private static let sts = """
        <AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
        <Credentials><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>
        <Expiration>2026-11-21T04:04:05Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>
        """

    private let client = HTTPClient()

    private func found(
        _ environment: [String: String], _ settings: StorageSettings.S3 = .init(bucket: "b"),
        agent: String = ContainerCredentials.agent
    ) async throws -> BucketCredentials {
        var environment = environment
        environment["AWS_EC2_METADATA_DISABLED"] = environment["AWS_EC2_METADATA_DISABLED"] ?? "true"
        let sources = CredentialChain.sources(settings, client: client, environment: environment, containerAgent: agent)
        return try await CredentialProvider(sources, nowUs: StillClock().clock.nowUs).credentials()
    }

    private func file(_ text: String) throws -> String {
        let path = NSTemporaryDirectory() + "credentials-" + UUID().uuidString
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    @Test("the configuration comes first, and alone where it forbids the rest")
    func explicit() async throws {
        let given = StorageSettings.S3(bucket: "b", accessKeyID: "CONFIG", secretAccessKey: "S", sessionToken: "T")
        #expect(try await found(["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "S"], given).accessKeyID == "CONFIG")
        await #expect(throws: StoreError.denied(reason: "no credentials in ")) {
            try await found(
                ["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "S", "AWS_REGION": "x"],
                .init(bucket: "b", isConfigLoadDisabled: true))
        }
        #expect(CredentialChain.region(.init(bucket: "b", isConfigLoadDisabled: true), ["AWS_REGION": "x"]) == nil)
        #expect(CredentialChain.region(.init(bucket: "b"), ["AWS_REGION": "x", "AWS_DEFAULT_REGION": "y"]) == "x")
        #expect(CredentialChain.region(.init(bucket: "b", region: "c"), ["AWS_REGION": "x"]) == "c")
    }

    @Test("then the environment, then the profile in the shared files")
    func environmentAndFiles() async throws {
        let credentials = try file(
            "[default]\naws_access_key_id=FILE\naws_secret_access_key = a=b #c\n[team]\naws_access_key_id=TEAM\naws_secret_access_key=s\naws_session_token=t"
        )
        let config = try file(
            "[default]\nregion = eu-west-1\n[profile team]\nregion=eu-north-1\n[profile keys]\naws_access_key_id=C\naws_secret_access_key=c\n[profile sso]\nsso_session=x"
        )
        let files = ["AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_CONFIG_FILE": config]
        let both = files.merging(["AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "S"]) { $1 }
        #expect(try await found(both).accessKeyID == "ENV")
        #expect(try await found(files) == BucketCredentials(accessKeyID: "FILE", secret: "a=b"))
        #expect(try await found(files.merging(["AWS_PROFILE": "team"]) { $1 }).token == "t")
        #expect(try await found(files.merging(["AWS_PROFILE": "keys"]) { $1 }).accessKeyID == "C")
        #expect(CredentialChain.region(.init(bucket: "b"), files) == "eu-west-1")
        #expect(CredentialChain.region(.init(bucket: "b"), files.merging(["AWS_PROFILE": "team"]) { $1 }) == "eu-north-1")
        for wrong in ["nobody", "sso"] {
            await #expect(throws: StoreError.self) { try await found(files.merging(["AWS_PROFILE": wrong]) { $1 }) }
        }
    }

    @Test("a web identity's token is read each time and changed for credentials at STS")
    func webIdentity() async throws {
        let service = try FakeService { _, _ in .text(Self.sts, contentType: "text/xml") }
        let token = try file("first.jwt\n")
        let environment = [
            "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_ENDPOINT_URL_STS": service.url,
        ]
        #expect(try await found(environment) == Self.role)
        try Data("second.jwt".utf8).write(to: URL(fileURLWithPath: token))
        _ = try await found(environment)
        let bodies = service.seen.map { String(decoding: $0.body, as: UTF8.self) }
        #expect(
            bodies.count == 2 && bodies[0].contains("WebIdentityToken=first.jwt")
                && bodies[1].contains("WebIdentityToken=second.jwt"))
        #expect(bodies[0].contains("Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"))
        await service.stop()
    }

    @Test("a container's agent is asked at the relative or the whole address, with the token of the environment or the file")
    func container() async throws {
        let service = try FakeService { _, _ in .text(Self.json, contentType: "application/json") }
        #expect(try await found(["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x"], agent: service.url) == Self.role)
        let full = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": service.url + "/eks"]
        _ = try await found(full.merging(["AWS_CONTAINER_AUTHORIZATION_TOKEN": "plain"]) { $1 })
        _ = try await found(full.merging(["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": try file("filed\n")]) { $1 })
        #expect(service.seen.map(\.path) == ["/v2/credentials/x", "/eks", "/eks"])
        #expect(service.seen.map { $0.headers["Authorization"] } == [nil, "plain", "filed"])
        await service.stop()
    }

    @Test(
        "an agent elsewhere is not asked without TLS",
        arguments: ["http://example.com/x", "http://10.0.0.1/", "ftp://169.254.170.2/", "http://127.0.0.1.evil.example/"])
    func foreignAgent(_ url: String) async {
        await #expect(throws: StoreError.self) { try await found(["AWS_CONTAINER_CREDENTIALS_FULL_URI": url]) }
    }

    private static func instance(tokenStatus: HTTPStatus) throws -> FakeService {
        try FakeService { seen, _ in
            let hasToken = seen.headers["x-aws-ec2-metadata-token"] == "TOKEN"
            switch (seen.method, seen.path) {
            case (.put, "/latest/api/token"): return .text("TOKEN", status: tokenStatus)
            case (.get, _) where tokenStatus == .ok && !hasToken: return .text("", status: .unauthorized)
            case (.get, "/latest/meta-data/iam/security-credentials/"): return .text("a role\n")
            case (.get, "/latest/meta-data/iam/security-credentials/a%20role"): return .text(Self.json)
            default: return .text("", status: .notFound)
            }
        }
    }

    @Test("an instance's role comes with a token (IMDSv2)")
    func instance() async throws {
        let service = try Self.instance(tokenStatus: .ok)
        let environment = ["AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url + "/", "AWS_EC2_METADATA_DISABLED": "false"]
        #expect(try await found(environment) == Self.role)
        #expect(service.seen.map(\.method) == [.put, .get, .get])
        #expect(service.seen[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600")
        await service.stop()
    }

    @Test("without one only when the service says that it has none", arguments: [403, 404, 405, 400, 500])
    func instanceVersionOne(_ status: Int) async throws {
        let service = try Self.instance(tokenStatus: HTTPStatus(rawValue: status))
        let environment = ["AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url, "AWS_EC2_METADATA_DISABLED": "false"]
        let result = try? await found(environment)
        #expect(result == ([403, 404, 405].contains(status) ? Self.role : nil))
        #expect(service.seen.count == (result == nil ? 1 : 3))
        #expect((try? await found(environment.merging(["AWS_EC2_METADATA_V1_DISABLED": "true"]) { $1 })) == nil)
        await service.stop()
    }

    @Test("silence is no permission to ask without a token")
    func instanceSilent() async throws {
        let service = try FakeService { _, _ in throw CancellationError() }
        await service.stop()
        let environment = ["AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url, "AWS_EC2_METADATA_DISABLED": "false"]
        await #expect(throws: StoreError.self) { try await found(environment) }
        #expect(service.seen.isEmpty)
    }

    @Test("credentials show nothing of themselves")
    func redacted() {
        var text = "\(Self.role) \(String(reflecting: Self.role)) \(String(describing: Optional(Self.role)))"
        dump(Self.role, to: &text)
        #expect(!text.contains("ASIAROLE") && !text.contains("\"S\"") && !text.contains("\"T\""))
    }
}

@Suite("When credentials are replaced")
struct CredentialProviderTests {
    /// Gives credentials that end an hour later, numbered, or fails; waits for the gate when there is one.
    private final class Numbered: CredentialSource {
        let name = "a test"
        let clock: StillClock
        let lifeSeconds: Int64
        let count = Mutex(0)
        let isFailing = Mutex(false)

        init(_ clock: StillClock, lifeSeconds: Int64 = 3_600) { (self.clock, self.lifeSeconds) = (clock, lifeSeconds) }

        func fetch() async throws(CredentialError) -> BucketCredentials? {
            let number = count.withLock { count in
                count += 1
                return count
            }
            for _ in 0..<20 { await Task.yield() }
            if isFailing.withLock({ $0 }) { throw CredentialError("away", isTransient: true) }
            return BucketCredentials(
                accessKeyID: "K\(number)", secret: "s", token: "t", expiresUs: clock.clock.nowUs() + lifeSeconds * 1_000_000)
        }
    }

    @Test("many ask, one fetches; kept until five minutes before the end")
    func singleFlight() async throws {
        let clock = StillClock()
        let source = Numbered(clock)
        let provider = CredentialProvider([source], nowUs: clock.clock.nowUs)
        let keys = await withTaskGroup(of: String?.self, returning: Set<String?>.self) { group in
            for _ in 0..<50 { group.addTask { try? await provider.credentials().accessKeyID } }
            return await group.reduce(into: []) { $0.insert($1) }
        }
        #expect(keys == ["K1"] && source.count.withLock { $0 } == 1)
        clock.advance(seconds: 3_299)
        #expect(try await provider.credentials().accessKeyID == "K1" && source.count.withLock { $0 } == 1)
    }

    @Test("shortly before the end the old ones are given while new ones come; after it only new ones")
    func early() async throws {
        let clock = StillClock()
        let source = Numbered(clock)
        let provider = CredentialProvider([source], nowUs: clock.clock.nowUs)
        _ = try await provider.credentials()
        clock.advance(seconds: 3_301)
        #expect(try await provider.credentials().accessKeyID == "K1")
        while source.count.withLock({ $0 }) < 2 { await Task.yield() }
        for _ in 0..<10_000 where try await provider.credentials().accessKeyID == "K1" { await Task.yield() }
        #expect(try await provider.credentials().accessKeyID == "K2")
        clock.advance(seconds: 3_601)
        #expect(try await provider.credentials().accessKeyID == "K3")
    }

    @Test(
        "what is good for less than ten minutes is replaced at half of that, not at each request",
        arguments: [4, 100, 500] as [Int64])
    func short(_ lifeSeconds: Int64) async throws {
        let clock = StillClock()
        let source = Numbered(clock, lifeSeconds: lifeSeconds)
        let provider = CredentialProvider([source], nowUs: clock.clock.nowUs)
        for _ in 0..<20 { #expect(try await provider.credentials().accessKeyID == "K1") }
        clock.advance(seconds: lifeSeconds / 2 - 1)
        for _ in 0..<20 { #expect(try await provider.credentials().accessKeyID == "K1") }
        #expect(source.count.withLock { $0 } == 1)
        clock.advance(seconds: 2)
        #expect(try await provider.credentials().accessKeyID == "K1")
        while try await provider.credentials().accessKeyID == "K1" { await Task.yield() }
        for _ in 0..<20 { #expect(try await provider.credentials().accessKeyID == "K2") }
        #expect(source.count.withLock { $0 } == 2)
    }

    @Test("a failing source does not take away what is still good, and is not asked without pause")
    func failing() async throws {
        let clock = StillClock()
        let source = Numbered(clock)
        let provider = CredentialProvider([source], nowUs: clock.clock.nowUs)
        let first = try await provider.credentials()
        source.isFailing.withLock { $0 = true }
        clock.advance(seconds: 3_400)
        #expect(try await provider.credentials() == first)
        #expect(await provider.renew(first) == false)
        let asked = source.count.withLock { $0 }
        #expect(try await provider.credentials() == first)
        #expect(source.count.withLock { $0 } == asked)
        clock.advance(seconds: 201)
        let away = StoreError.unavailable(reason: "credentials from a test: away")
        await #expect(throws: away) { try await provider.credentials() }
        await #expect(throws: away) { try await provider.credentials() }
        #expect(source.count.withLock { $0 } == asked + 1)
        source.isFailing.withLock { $0 = false }
        clock.advance(seconds: 11)
        #expect(try await provider.credentials() != first)
    }

    @Test("refused ones are replaced once for all who met the refusal")
    func renew() async throws {
        let clock = StillClock()
        let provider = CredentialProvider([Numbered(clock)], nowUs: clock.clock.nowUs)
        let old = try await provider.credentials()
        #expect(await provider.renew(old))
        let new = try await provider.credentials()
        #expect(new != old)
        #expect(await provider.renew(old))
        #expect(try await provider.credentials() == new)
        let fixed = CredentialProvider([FixedCredentials(credentials: old)], nowUs: clock.clock.nowUs)
        #expect(await fixed.renew(old) == false)
    }
}
