import Config
import Foundation
import HTTP
import Store
import Testing

@testable import Buckets

@Suite("Where OSS's credentials come from", .serialized)
struct OSSCredentialTests {
    private static let keys = """
        {"AccessKeyId":"STS.1","AccessKeySecret":"S","SecurityToken":"T","Expiration":"2026-11-21T04:04:05Z","Code":"Success"}
        """
    private static let role = BucketCredentials(
        accessKeyID: "STS.1", secret: "S", token: "T", expiresUs: BasicDate.parse("2026-11-21T04:04:05Z"))

    private let client = HTTPClient()

    private func found(_ environment: [String: String], key: String = "", secret: String = "") async throws -> BucketCredentials {
        var environment = environment
        let disabled = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"
        environment[disabled] = environment[disabled] ?? "true"
        let settings = StorageSettings.OSS(
            bucket: "b", region: "r", endpoint: "http://e", accessKeyID: key, accessKeySecret: secret, securityToken: "")
        let clock = StillClock()
        let sources = CredentialChain.sources(settings, client: client, environment: environment, nowUs: clock.clock.nowUs)
        return try await CredentialProvider(sources, nowUs: clock.clock.nowUs).credentials()
    }

    @Test("the configuration, then OSS's variables, then Alibaba Cloud's; Amazon's never")
    func order() async throws {
        let alibaba = [
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "CLOUD", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s", "ALIBABA_CLOUD_SECURITY_TOKEN": "t",
        ]
        let both = alibaba.merging(["OSS_ACCESS_KEY_ID": "OSS", "OSS_ACCESS_KEY_SECRET": "s"]) { $1 }
        #expect(try await found(both, key: "CONFIG", secret: "s").accessKeyID == "CONFIG")
        #expect(try await found(both) == BucketCredentials(accessKeyID: "OSS", secret: "s"))
        #expect(try await found(alibaba) == BucketCredentials(accessKeyID: "CLOUD", secret: "s", token: "t"))
        await #expect(throws: StoreError.self) { try await found(["AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s"]) }
        let half = StoreError.denied(
            reason: "credentials from the environment: OSS_ACCESS_KEY_ID is set without OSS_ACCESS_KEY_SECRET")
        await #expect(throws: half) { try await found(["OSS_ACCESS_KEY_ID": "OSS"]) }
    }

    @Test("a token in a file is read each time and changed for credentials at STS")
    func oidc() async throws {
        let service = try FakeService { _, _ in
            .text("{\"RequestId\":\"1\",\"Credentials\":\(Self.keys)}", contentType: "application/json")
        }
        let token = NSTemporaryDirectory() + "oidc-" + UUID().uuidString
        defer { unlink(token) }
        try Data("first.jwt\n".utf8).write(to: URL(fileURLWithPath: token))
        let environment = [
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE": token, "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/r",
            "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/p", "ALIBABA_CLOUD_STS_ENDPOINT": service.url + "/",
        ]
        #expect(try await found(environment) == Self.role)
        try Data("second.jwt".utf8).write(to: URL(fileURLWithPath: token))
        _ = try await found(environment)
        let bodies = service.seen.map { String(decoding: $0.body, as: UTF8.self) }
        #expect(bodies.count == 2 && bodies[0].contains("OIDCToken=first.jwt") && bodies[1].contains("OIDCToken=second.jwt"))
        #expect(bodies[0].contains("RoleArn=acs%3Aram%3A%3A1%3Arole%2Fr&RoleSessionName=tributary"))
        let query = service.seen[0].query
        #expect(query.contains("Action=AssumeRoleWithOIDC&Format=JSON&") && query.contains("Timestamp=2026-11-21T03%3A04%3A05Z&"))
        #expect(!query.contains("jwt"))
        await #expect(throws: StoreError.self) { try await found(["ALIBABA_CLOUD_OIDC_TOKEN_FILE": token]) }
        await service.stop()
    }

    @Test("STS that refuses is told without what it says", arguments: [400, 403, 500])
    func oidcRefused(_ status: Int) async throws {
        let service = try FakeService { _, _ in .text("first.jwt is bad", status: HTTPStatus(rawValue: status)) }
        let token = NSTemporaryDirectory() + "oidc-" + UUID().uuidString
        defer { unlink(token) }
        try Data("first.jwt".utf8).write(to: URL(fileURLWithPath: token))
        let reason = "credentials from the OIDC token: STS answered \(HTTPStatus(rawValue: status))"
        await #expect(throws: status == 500 ? StoreError.unavailable(reason: reason) : .denied(reason: reason)) {
            try await found([
                "ALIBABA_CLOUD_OIDC_TOKEN_FILE": token, "ALIBABA_CLOUD_ROLE_ARN": "r", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "p",
                "ALIBABA_CLOUD_STS_ENDPOINT": service.url,
            ])
        }
        await service.stop()
    }

    private static func instance(tokenStatus: HTTPStatus) throws -> FakeService {
        try FakeService { seen, _ in
            let hasToken = seen.headers["X-aliyun-ecs-metadata-token"] == "TOKEN"
            switch (seen.method, seen.path) {
            case (.put, "/latest/api/token"): return .text("TOKEN", status: tokenStatus)
            case (.get, _) where tokenStatus == .ok && !hasToken: return .text("", status: .forbidden)
            case (.get, "/latest/meta-data/ram/security-credentials/"): return .text("recorder\n")
            case (.get, "/latest/meta-data/ram/security-credentials/recorder"): return .text(keys)
            default: return .text("", status: .notFound)
            }
        }
    }

    @Test("an instance's role comes with a token, and without one only where the service has none", arguments: [200, 404, 500])
    func instance(_ status: Int) async throws {
        let service = try Self.instance(tokenStatus: HTTPStatus(rawValue: status))
        let environment = [
            "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": service.url, "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "false",
        ]
        let result = try? await found(environment)
        #expect(result == (status == 500 ? nil : Self.role))
        #expect(service.seen.count == (status == 500 ? 1 : 3))
        #expect(service.seen[0].headers["X-aliyun-ecs-metadata-token-ttl-seconds"] == "21600")
        if status == 404 {
            #expect((try? await found(environment.merging(["ALIBABA_CLOUD_IMDSV1_DISABLED": "true"]) { $1 })) == nil)
        }
        await service.stop()
    }

    @Test("a role that is named is not asked for")
    func namedRole() async throws {
        let service = try Self.instance(tokenStatus: .ok)
        let environment = [
            "ALIBABA_CLOUD_ECS_METADATA_SERVICE_ENDPOINT": service.url, "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "false",
            "ALIBABA_CLOUD_ECS_METADATA": "recorder",
        ]
        #expect(try await found(environment) == Self.role)
        #expect(service.seen.count == 2)
        await service.stop()
    }
}
