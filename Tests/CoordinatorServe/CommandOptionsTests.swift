import Testing

@testable import CoordinatorServe

@Suite("Command line")
struct CommandOptionsTests {
    @Test(
        "what each means",
        arguments: [
            ([], .run(config: nil)), (["--config", "a.toml"], .run(config: "a.toml")),
            (["--config=a.toml"], .run(config: "a.toml")),
            (["-c", "a.toml", "--check"], .check(config: "a.toml")), (["--check"], .check(config: nil)), (["--help"], .help),
            (["--check", "--version"], .version),
        ] as [([String], CommandOptions)])
    func options(arguments: [String], expected: CommandOptions) throws {
        #expect(try CommandOptions(arguments) == expected)
    }

    @Test("what can't be understood is named", arguments: [["--config"], ["--config", ""], ["--bogus"], ["file.toml"]])
    func problems(arguments: [String]) throws {
        let problem = #expect(throws: CommandProblem.self) { try CommandOptions(arguments) }
        #expect(problem?.description.contains(arguments[0]) == true)
    }
}
