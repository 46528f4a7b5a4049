import Foundation

/// An authority of its own, the certificate of a server on 127.0.0.1 and one of a client, made by openssl; gone with this object.
package final class TestCertificates: Sendable {
    private struct Failure: Error {}

    private let directory: URL

    package init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("certificates-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try make("ca", "/CN=test authority", ["-addext", "basicConstraints=critical,CA:TRUE"])
        let signed = ["-CA", file("ca.pem"), "-CAkey", file("ca.key")]
        try make("server", "/CN=server", signed + ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        try make("client", "/CN=client", signed)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    /// `ca`, `server` or `client` with `.pem` or `.key`.
    package func file(_ name: String) -> String { directory.appendingPathComponent(name).path }

    private func make(_ name: String, _ subject: String, _ options: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", subject,
            ]
            + ["-keyout", file("\(name).key"), "-out", file("\(name).pem")] + options
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        while process.isRunning { usleep(5_000) }
        guard process.terminationStatus == 0 else { throw Failure() }
    }
}
