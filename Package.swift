// swift-tools-version:6.1
import PackageDescription

// The C core is one target so that the optimiser sees the whole hot path; its sub-folders are layers
// (docs/contributing.md), and `make check` holds every #include to the direction of the layers.
let coreFlags: [CSetting] = [
    .headerSearchPath("."),
    .define("_GNU_SOURCE"),
    .unsafeFlags([
        "-std=gnu17", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes",
        "-Wmissing-prototypes", "-Wvla", "-Wno-unused-parameter",
    ]),
    .unsafeFlags(["-O3"], .when(configuration: .release)),
    .define("PX_FAULT_POINTS", .when(traits: ["FaultPoints"])),
]
let swiftFlags: [SwiftSetting] = [
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .define("PX_FAULT_POINTS", .when(traits: ["FaultPoints"])),
]

let package = Package(
    name: "proxy",
    products: [
        .executable(name: "proxy", targets: ["proxy"]),
        .executable(name: "restarter", targets: ["restarter"]),
    ],
    // Not for what is shipped: `swift build --traits FaultPoints --scratch-path .build-faults --product proxy`, as Tests/tools/test.sh does.
    traits: [.trait(name: "FaultPoints", description: "Steps of a restart that a test can kill, stop, delay or fail")],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .target(name: "CProxyCore", path: "CSources/CProxyCore", publicHeadersPath: "include", cSettings: coreFlags),
        .target(name: "ProxyModel", swiftSettings: swiftFlags),
        .target(name: "ProxyConfig", dependencies: ["ProxyModel", .product(name: "Yams", package: "Yams")], swiftSettings: swiftFlags),
        .target(name: "ProxyRestart", dependencies: ["ProxyModel"], swiftSettings: swiftFlags),
        .target(name: "ProxyAdmin", dependencies: ["ProxyModel"], swiftSettings: swiftFlags),
        .target(name: "ProxyCore", dependencies: ["CProxyCore", "ProxyModel"], swiftSettings: swiftFlags),
        .executableTarget(
            name: "proxy",
            dependencies: [
                "ProxyModel", "ProxyConfig", "ProxyRestart", "ProxyAdmin", "ProxyCore",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: swiftFlags),
        .executableTarget(
            name: "restarter",
            dependencies: ["ProxyModel", "ProxyCore", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: swiftFlags),
        .testTarget(
            name: "ProxyConfigTests", dependencies: ["ProxyConfig", "ProxyModel"], path: "Tests/ProxyConfigTests", exclude: ["Fixtures"],
            swiftSettings: swiftFlags),
        .testTarget(name: "ProxyAdminTests", dependencies: ["ProxyAdmin", "ProxyModel"], swiftSettings: swiftFlags),
        // Optimised in debug builds too: the explorer visits a million states.
        .testTarget(
            name: "ProxyRestartTests", dependencies: ["ProxyRestart", "ProxyModel"], path: "Tests/ProxyRestartTests",
            swiftSettings: swiftFlags + [.unsafeFlags(["-O"], .when(configuration: .debug))]),
        .testTarget(
            name: "ProxyCommandTests", dependencies: ["proxy", "ProxyModel"], exclude: ["Snapshots"], swiftSettings: swiftFlags),
        .testTarget(
            name: "RestarterTests", dependencies: ["restarter", "FakeProxy", "Harness", "ProxyCore", "ProxyModel"],
            swiftSettings: swiftFlags),
        // Misbehaves on request, for the tests of the restarter.
        .executableTarget(
            name: "FakeProxy", dependencies: ["ProxyCore", "ProxyModel"], path: "Tests/FakeProxy", swiftSettings: swiftFlags),
        // Runner and tests in one program; tests see the core's private headers and its hidden symbols (static link).
        .executableTarget(
            name: "CProxyCoreTests", dependencies: ["CProxyCore"], path: "Tests/CProxyCoreTests", exclude: ["run.sh"],
            cSettings: coreFlags + [.headerSearchPath("../../CSources/CProxyCore")]),
        .executableTarget(
            name: "benchmarks", dependencies: ["CProxyCore"], path: "Tests/Benchmarks", exclude: ["Peers"],
            cSettings: coreFlags + [.headerSearchPath("../../CSources/CProxyCore")]),
        // Load and upstream of the end-to-end tests: a program of its own, so that it shares nothing with what it tests.
        .executableTarget(name: "load-client", path: "Tests/LoadClient", cSettings: coreFlags),
        .executableTarget(name: "soak", dependencies: ["Harness"], path: "Tests/Soak", swiftSettings: swiftFlags),
        .executableTarget(name: "demo", dependencies: ["Harness"], path: "Tests/Demo", swiftSettings: swiftFlags),
        .testTarget(
            name: "EndToEnd", dependencies: ["Harness", "ProxyCore", "ProxyModel"], path: "Tests/EndToEnd", swiftSettings: swiftFlags),
        .target(name: "Harness", path: "Tests/Harness", swiftSettings: swiftFlags),
    ],
    cLanguageStandard: .gnu17
)
