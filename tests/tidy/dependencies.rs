//! Checks that each crate depends only on the crates that `ARCHITECTURE.md` allows.

use toml::{Table, Value};

use crate::Fault;

/// A crate and its allowed dependencies.
struct CrateRules {
    folder: &'static str,
    name: &'static str,
    /// Crates of the workspace that this crate may depend on.
    may_use: &'static [&'static str],
    /// Further crates of the workspace that its tests may depend on.
    tests_may_use: &'static [&'static str],
    /// External crates that this crate must not depend on.
    must_not_use: &'static [&'static str],
}

const SERVERS: &[&str] = &["rdkafka", "hdfs-native"];
const SERVERS_AND_RUNTIME: &[&str] = &["rdkafka", "hdfs-native", "tokio", "tokio-util"];
const PURE: &[&str] = &["weir-grammar", "weir-plan", "weir-compiler"];
const ALL: &[&str] = &[
    "weir-grammar",
    "weir-plan",
    "weir-compiler",
    "weir-runtime",
    "weir-stdlib",
    "weir-testing",
    "weir-lsp",
    "weir",
    "weir-tests",
];

#[rustfmt::skip]
const CRATES: [CrateRules; 11] = [
    CrateRules { folder: "grammar", name: "weir-grammar", may_use: &[], tests_may_use: &[], must_not_use: SERVERS_AND_RUNTIME },
    CrateRules { folder: "plan", name: "weir-plan", may_use: &[], tests_may_use: &[], must_not_use: SERVERS_AND_RUNTIME },
    CrateRules { folder: "compiler", name: "weir-compiler", may_use: &["weir-grammar", "weir-plan"], tests_may_use: &[], must_not_use: SERVERS_AND_RUNTIME },
    CrateRules { folder: "runtime", name: "weir-runtime", may_use: &["weir-plan"], tests_may_use: &[], must_not_use: SERVERS },
    CrateRules { folder: "sasl", name: "sasl2-sys", may_use: &[], tests_may_use: &[], must_not_use: SERVERS_AND_RUNTIME },
    CrateRules { folder: "stdlib", name: "weir-stdlib", may_use: &["weir-runtime", "weir-plan"], tests_may_use: PURE, must_not_use: &[] },
    CrateRules { folder: "testing", name: "weir-testing", may_use: &["weir-grammar", "weir-plan", "weir-compiler", "weir-runtime"], tests_may_use: &["weir-stdlib"], must_not_use: SERVERS },
    CrateRules { folder: "lsp", name: "weir-lsp", may_use: PURE, tests_may_use: &[], must_not_use: SERVERS },
    CrateRules { folder: "cli", name: "weir", may_use: &["weir-grammar", "weir-plan", "weir-compiler", "weir-runtime", "weir-stdlib", "weir-testing", "weir-lsp"], tests_may_use: &["weir-tests"], must_not_use: SERVERS },
    CrateRules { folder: "tests", name: "weir-tests", may_use: ALL, tests_may_use: &[], must_not_use: &[] },
    CrateRules { folder: "benches", name: "weir-benches", may_use: ALL, tests_may_use: &[], must_not_use: &[] },
];

pub(crate) fn check(path: &str, text: &str) -> Vec<Fault> {
    let fault = |message: String| Fault::new(path, 1, message);
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![fault(format!("syntax error: {error}"))],
    };
    let mut faults = Vec::new();
    let workspace_lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    if workspace_lints.and_then(Value::as_bool) != Some(true) {
        faults.push(fault("no `[lints] workspace = true`".into()));
    }
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
    let Some(rules) = CRATES.iter().find(|rules| name == Some(rules.name)) else {
        faults.push(fault("this crate is not listed in tests/tidy/dependencies.rs".into()));
        return faults;
    };
    if path != format!("{}/Cargo.toml", rules.folder) {
        faults.push(fault(format!("{} belongs in {}/", rules.name, rules.folder)));
    }
    for (section, dependency) in dependencies(&manifest) {
        let for_tests = section == "dev-dependencies" && rules.tests_may_use.contains(&dependency.as_str());
        let ours = dependency == "weir" || dependency.starts_with("weir-");
        let allowed = rules.may_use.contains(&dependency.as_str()) || for_tests;
        if (ours && !allowed) || rules.must_not_use.contains(&dependency.as_str()) {
            faults.push(fault(format!("{} must not depend on {dependency} ([{section}])", rules.name)));
        }
    }
    faults
}

/// Returns the section and the package of every dependency, also of dependencies for one target.
fn dependencies(manifest: &Table) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (key, value) in manifest.get(section).and_then(Value::as_table).into_iter().flatten() {
            let package = value.get("package").and_then(Value::as_str).unwrap_or(key);
            found.push((section.to_owned(), package.to_owned()));
        }
    }
    for (_, target) in manifest.get("target").and_then(Value::as_table).into_iter().flatten() {
        found.extend(target.as_table().map(dependencies).unwrap_or_default());
    }
    found
}

/// Checks that the members of the workspace are exactly the folders with a manifest.
pub(crate) fn check_members(root: &str, files: &[String]) -> Vec<String> {
    let root: Table = root.parse().unwrap_or_default();
    let members =
        root.get("workspace").and_then(|workspace| workspace.get("members")).and_then(Value::as_array);
    let members: Vec<&str> = members.into_iter().flatten().filter_map(Value::as_str).collect();
    let folders: Vec<&str> = files.iter().filter_map(|path| path.strip_suffix("/Cargo.toml")).collect();
    let mut faults = Vec::new();
    for folder in folders.iter().filter(|folder| !members.contains(folder)) {
        faults.push(format!("{folder} is not a member of the workspace"));
    }
    for member in members.iter().filter(|member| !folders.contains(member)) {
        faults.push(format!("{member} is a member of the workspace without a manifest"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(folder: &str, name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}");
        check(&format!("{folder}/Cargo.toml"), &text).into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn an_allowed_dependency_is_no_fault() {
        assert_eq!(
            faults("compiler", "weir-compiler", "[dependencies]\nweir-plan.workspace = true\n"),
            [""; 0]
        );
    }

    #[test]
    fn a_forbidden_dependency_is_a_fault() {
        let rest = "[dependencies]\nweir-runtime.workspace = true\n";
        let expected = ["weir-compiler must not depend on weir-runtime ([dependencies])"];
        assert_eq!(faults("compiler", "weir-compiler", rest), expected);
    }

    #[test]
    fn a_renamed_dependency_is_found() {
        let rest =
            "[target.'cfg(unix)'.dev-dependencies]\nkafka = { package = \"rdkafka\", version = \"1\" }\n";
        let expected = ["weir-compiler must not depend on rdkafka ([dev-dependencies])"];
        assert_eq!(faults("compiler", "weir-compiler", rest), expected);
    }

    #[test]
    fn tests_may_have_further_dependencies() {
        let crates = "[dev-dependencies]\nweir-compiler.workspace = true\n";
        assert_eq!(faults("stdlib", "weir-stdlib", crates), [""; 0]);
        let crates = "[dependencies]\nweir-compiler.workspace = true\n";
        let expected = ["weir-stdlib must not depend on weir-compiler ([dependencies])"];
        assert_eq!(faults("stdlib", "weir-stdlib", crates), expected);
    }

    #[test]
    fn each_crate_uses_the_lints_of_the_workspace() {
        let text = "[package]\nname = \"weir-plan\"\n";
        assert_eq!(
            check("plan/Cargo.toml", text),
            [Fault::new("plan/Cargo.toml", 1, "no `[lints] workspace = true`")]
        );
    }

    #[test]
    fn an_unlisted_crate_is_a_fault() {
        assert_eq!(faults("new", "weir-new", ""), ["this crate is not listed in tests/tidy/dependencies.rs"]);
        assert_eq!(faults("new", "weir-plan", ""), ["weir-plan belongs in plan/"]);
    }

    #[test]
    fn members_and_manifests_agree() {
        let root = "[workspace]\nmembers = [\"a\", \"b\"]\n";
        let files = ["a/Cargo.toml".to_owned(), "c/Cargo.toml".to_owned(), "Cargo.toml".to_owned()];
        let expected =
            ["c is not a member of the workspace", "b is a member of the workspace without a manifest"];
        assert_eq!(check_members(root, &files), expected);
    }
}
