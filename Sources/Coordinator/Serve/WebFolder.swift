import Foundation
import HTTP
import Log

/// The web page's files, each a route of its own, so that nothing outside the list can be asked for.
struct WebFolder: Sendable {
    /// Path below the folder → path of the file.
    let files: [String: String]

    /// Beside the program as it was built, or where it was installed.
    static let places = ["Tributary_CoordinatorServe.resources/Web", "../share/tributary/web"]

    /// The folder beside the running program; nil when it is nowhere.
    static func find() -> WebFolder? {
        guard let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return nil }
        let directory = URL(fileURLWithPath: program).deletingLastPathComponent()
        return places.lazy.compactMap { WebFolder(directory.appendingPathComponent($0).standardizedFileURL.path) }.first
    }

    /// The files of a folder that has an `index.html`; nil when it has none.
    init?(_ folder: String) {
        guard FileManager.default.fileExists(atPath: folder + "/index.html"),
            let names = FileManager.default.enumerator(atPath: folder)
        else { return nil }
        var files: [String: String] = [:]
        while let name = names.nextObject() as? String {
            var isFolder: ObjCBool = false
            let path = "\(folder)/\(name)"
            if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue { files[name] = path }
        }
        self.files = files
    }

    func add(to router: inout GuardedRouter) {
        for (name, path) in files {
            serve(path, at: "/\(name)", in: &router)
            if name == "index.html" { serve(path, at: "/", in: &router) }
        }
    }

    private func serve(_ path: String, at pattern: String, in router: inout GuardedRouter) {
        let type = Self.contentType(path)
        router.open(pattern, RouteDescription("A file of the web page", tag: "web")) { _ in
            // no-cache: the browser asks each time and is told 304, so an upgrade shows at once.
            .file(
                try HTTPFile(path: path), contentType: type,
                headers: ["Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"])
        }
    }

    static func contentType(_ name: String) -> String {
        switch name.split(separator: ".").last.map({ $0.lowercased() }) {
        case "html": "text/html; charset=utf-8"
        case "js", "mjs": "text/javascript; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        case "svg": "image/svg+xml"
        case "png": "image/png"
        case "ico": "image/x-icon"
        case "json", "webmanifest": "application/json"
        case "woff2": "font/woff2"
        default: "application/octet-stream"
        }
    }
}
