//! Which crate may depend on which, and what every manifest has in common.

use serde_json::Value;

use super::{File, Finding};

/// The allowed edges: (crate, the siblings it may depend on). A new edge is an edit here, seen in review.
///
/// `seqweave-testkit` is allowed to every crate but itself, as a dev-dependency.
/// The layers are strict where it matters: data and metrics know no sibling, so neither text nor scoring ever drags in
/// arithmetic; xtask links nothing of ours, so it builds in seconds.
#[rustfmt::skip]
const ALLOWED: &[(&str, &[&str])] = &[
    ("seqweave-kernels", &[]),
    ("seqweave-tensor", &["seqweave-kernels"]),
    ("seqweave-autograd", &["seqweave-tensor"]),
    ("seqweave-nn", &["seqweave-tensor", "seqweave-autograd"]),
    ("seqweave-seq2seq", &["seqweave-tensor", "seqweave-autograd", "seqweave-nn"]),
    ("seqweave-data", &[]),
    ("seqweave-metrics", &[]),
    ("seqweave", &["seqweave-tensor", "seqweave-nn", "seqweave-seq2seq", "seqweave-data"]),
    ("seqweave-train", &["seqweave-tensor", "seqweave-autograd", "seqweave-nn", "seqweave-seq2seq", "seqweave-data", "seqweave-metrics", "seqweave"]),
    ("seqweave-cli", &["seqweave-tensor", "seqweave-nn", "seqweave-seq2seq", "seqweave-data", "seqweave-metrics", "seqweave", "seqweave-train"]),
    ("seqweave-testkit", &[]),
    // Cross-crate tests may look at everything.
    ("seqweave-tests", &["seqweave-kernels", "seqweave-tensor", "seqweave-autograd", "seqweave-nn", "seqweave-seq2seq", "seqweave-data", "seqweave-metrics", "seqweave", "seqweave-train"]),
    ("xtask", &[]),
];

const TESTKIT: &str = "seqweave-testkit";

/// Every dependency between the workspace's crates is in the table. Reads `cargo metadata --no-deps`.
pub fn edges(metadata: &Value) -> Vec<Finding> {
    let packages = || metadata["packages"].as_array().into_iter().flatten();
    let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_string();
    let members: Vec<String> = packages().map(name).collect();
    let mut findings = Vec::new();
    for package in packages() {
        let from = name(package);
        let mut report = |message| findings.push(Finding { path: from.clone(), line: 0, message });
        let Some((_, allowed)) = ALLOWED.iter().find(|(crate_, _)| *crate_ == from) else {
            report("the crate is not in the table of allowed edges in xtask/src/tidy/edges.rs".to_string());
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = name(dependency);
            // Tests of the tests crate are its library, so its testkit is an ordinary dependency.
            let is_test = dependency["kind"] == "dev" || from == "seqweave-tests";
            let is_testkit = to == TESTKIT && is_test && from != TESTKIT && from != "xtask";
            if members.contains(&to) && !allowed.contains(&to.as_str()) && !is_testkit {
                report(format!("depends on {to}, an edge that xtask/src/tidy/edges.rs does not allow"));
            }
        }
    }
    findings
}

/// Every crate takes its lints, edition and licence from the workspace: a crate that does not is quietly unchecked.
pub fn manifest(file: &File) -> Vec<Finding> {
    if !file.path.ends_with("/Cargo.toml") {
        return Vec::new();
    }
    let lines: Vec<String> = file.text.lines().map(|line| line.replace(' ', "")).collect();
    let has = |line: &str| lines.iter().any(|found| found == line);
    let mut findings = Vec::new();
    for key in ["edition", "rust-version", "license"] {
        if !has(&format!("{key}.workspace=true")) {
            findings.push(file.finding(0, format!("`{key}.workspace = true` is missing")));
        }
    }
    let lints = lines.windows(2).any(|pair| pair[0] == "[lints]" && pair[1] == "workspace=true");
    if !lints {
        findings.push(file.finding(0, "`[lints] workspace = true` is missing"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::{CLEAN, found};
    use super::*;

    fn messages(packages: &str) -> Vec<String> {
        let metadata = serde_json::from_str(&format!("{{\"packages\": [{packages}]}}")).unwrap();
        edges(&metadata).into_iter().map(|finding| format!("{}: {}", finding.path, finding.message)).collect()
    }

    fn package(name: &str, dependencies: &[(&str, &str)]) -> String {
        let dependency = |(name, kind): &(&str, &str)| format!("{{\"name\": \"{name}\", \"kind\": {kind}}}");
        let list: Vec<String> = dependencies.iter().map(dependency).collect();
        format!("{{\"name\": \"{name}\", \"dependencies\": [{}]}}", list.join(","))
    }

    #[test]
    fn edges_keep_to_the_table() {
        let testkit = package("seqweave-testkit", &[]);
        let tensor = package("seqweave-tensor", &[("serde", "null"), ("seqweave-testkit", "\"dev\"")]);
        // from, dependency, its kind, allowed
        let rows = [
            ("seqweave-autograd", "seqweave-tensor", "null", true),
            ("seqweave-data", "seqweave-tensor", "null", false),
            ("seqweave-data", "seqweave-tensor", "\"dev\"", false),
            ("seqweave-data", "seqweave-testkit", "\"dev\"", true),
            ("seqweave-data", "seqweave-testkit", "null", false),
            ("seqweave-tests", "seqweave-testkit", "null", true),
            ("xtask", "seqweave-testkit", "\"dev\"", false),
            ("xtask", "serde_json", "null", true),
        ];
        for (from, to, kind, allowed) in rows {
            let found = messages(&[testkit.clone(), tensor.clone(), package(from, &[(to, kind)])].join(","));
            assert_eq!(found.is_empty(), allowed, "{from} -> {to} ({kind}): {found:?}");
        }
        let found = messages(&package("seqweave-new", &[]));
        assert!(found[0].starts_with("seqweave-new: the crate is not in the table"), "{found:?}");
    }

    #[test]
    fn the_table_has_no_cycle() {
        // Each crate depends only on crates above it, but for testkit, which has no edges, and the free-standing ones.
        let order = |name: &str| ALLOWED.iter().position(|(crate_, _)| *crate_ == name).unwrap();
        for (from, allowed) in ALLOWED {
            for to in *allowed {
                assert!(order(to) < order(from), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn manifests_follow_the_workspace() {
        let good = "edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
                    [lints]\nworkspace = true\n";
        assert_eq!(found(manifest, "crates/x/Cargo.toml", good), CLEAN);
        for line in good.lines() {
            let bad: String = good.lines().filter(|l| *l != line).map(|l| format!("{l}\n")).collect();
            assert_eq!(found(manifest, "crates/x/Cargo.toml", &bad), [0], "{line}");
        }
        assert_eq!(found(manifest, "Cargo.toml", ""), CLEAN);
    }
}
