//! Which crate may know which: `ARCHITECTURE.md` draws the arrows, this holds the manifests against them.

use toml::{Table, Value};

use crate::Fault;

/// A crate and what may stand in its dependencies.
struct Arrow {
    folder: &'static str,
    name: &'static str,
    /// Crates of the workspace that it may depend on.
    knows: &'static [&'static str],
    /// Its tests may know these as well.
    tests_know: &'static [&'static str],
    /// Crates from outside that it must not depend on.
    must_not_know: &'static [&'static str],
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
    "weir-lsp",
    "weir",
    "weir-tests",
];

#[rustfmt::skip]
const ARROWS: [Arrow; 9] = [
    Arrow { folder: "grammar", name: "weir-grammar", knows: &[], tests_know: &[], must_not_know: SERVERS_AND_RUNTIME },
    Arrow { folder: "plan", name: "weir-plan", knows: &[], tests_know: &[], must_not_know: SERVERS_AND_RUNTIME },
    Arrow { folder: "compiler", name: "weir-compiler", knows: &["weir-grammar", "weir-plan"], tests_know: &[], must_not_know: SERVERS_AND_RUNTIME },
    Arrow { folder: "runtime", name: "weir-runtime", knows: &["weir-plan"], tests_know: &[], must_not_know: SERVERS },
    Arrow { folder: "stdlib", name: "weir-stdlib", knows: &["weir-runtime", "weir-plan"], tests_know: PURE, must_not_know: &[] },
    Arrow { folder: "lsp", name: "weir-lsp", knows: PURE, tests_know: &[], must_not_know: SERVERS },
    Arrow { folder: "cli", name: "weir", knows: &["weir-grammar", "weir-plan", "weir-compiler", "weir-runtime", "weir-stdlib", "weir-lsp"], tests_know: &["weir-tests"], must_not_know: SERVERS },
    Arrow { folder: "tests", name: "weir-tests", knows: ALL, tests_know: &[], must_not_know: &[] },
    Arrow { folder: "benches", name: "weir-benches", knows: ALL, tests_know: &[], must_not_know: &[] },
];

pub(crate) fn check(path: &str, text: &str) -> Vec<Fault> {
    let fault = |what: String| Fault::new(path, 1, what);
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![fault(format!("no TOML: {error}"))],
    };
    let mut faults = Vec::new();
    let workspace_lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    if workspace_lints.and_then(Value::as_bool) != Some(true) {
        faults.push(fault("no `[lints] workspace = true`".into()));
    }
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str);
    let Some(arrow) = ARROWS.iter().find(|arrow| name == Some(arrow.name)) else {
        faults.push(fault("this crate has no arrow in tests/tidy/arrows.rs".into()));
        return faults;
    };
    if path != format!("{}/Cargo.toml", arrow.folder) {
        faults.push(fault(format!("{} belongs into {}/", arrow.name, arrow.folder)));
    }
    for (section, dependency) in dependencies(&manifest) {
        let for_tests = section == "dev-dependencies" && arrow.tests_know.contains(&dependency.as_str());
        let ours = dependency == "weir" || dependency.starts_with("weir-");
        let allowed = arrow.knows.contains(&dependency.as_str()) || for_tests;
        if (ours && !allowed) || arrow.must_not_know.contains(&dependency.as_str()) {
            faults.push(fault(format!("{} must not know {dependency} ([{section}])", arrow.name)));
        }
    }
    faults
}

/// Every dependency of every kind, also of single targets, by the package's own name.
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

/// Every folder with a manifest is a member of the workspace, and the other way round.
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
        check(&format!("{folder}/Cargo.toml"), &text).into_iter().map(|fault| fault.what).collect()
    }

    #[test]
    fn an_arrow_the_right_way_is_fine() {
        assert_eq!(
            faults("compiler", "weir-compiler", "[dependencies]\nweir-plan.workspace = true\n"),
            [""; 0]
        );
    }

    #[test]
    fn an_arrow_the_wrong_way_is_a_fault() {
        let rest = "[dependencies]\nweir-runtime.workspace = true\n";
        let expected = ["weir-compiler must not know weir-runtime ([dependencies])"];
        assert_eq!(faults("compiler", "weir-compiler", rest), expected);
    }

    #[test]
    fn a_new_name_hides_nothing() {
        let rest =
            "[target.'cfg(unix)'.dev-dependencies]\nkafka = { package = \"rdkafka\", version = \"1\" }\n";
        let expected = ["weir-compiler must not know rdkafka ([dev-dependencies])"];
        assert_eq!(faults("compiler", "weir-compiler", rest), expected);
    }

    #[test]
    fn tests_may_know_more() {
        let crates = "[dev-dependencies]\nweir-compiler.workspace = true\n";
        assert_eq!(faults("stdlib", "weir-stdlib", crates), [""; 0]);
        let crates = "[dependencies]\nweir-compiler.workspace = true\n";
        let expected = ["weir-stdlib must not know weir-compiler ([dependencies])"];
        assert_eq!(faults("stdlib", "weir-stdlib", crates), expected);
    }

    #[test]
    fn lints_come_from_the_workspace() {
        let text = "[package]\nname = \"weir-plan\"\n";
        assert_eq!(
            check("plan/Cargo.toml", text),
            [Fault::new("plan/Cargo.toml", 1, "no `[lints] workspace = true`")]
        );
    }

    #[test]
    fn a_crate_without_an_arrow_is_a_fault() {
        assert_eq!(faults("new", "weir-new", ""), ["this crate has no arrow in tests/tidy/arrows.rs"]);
        assert_eq!(faults("new", "weir-plan", ""), ["weir-plan belongs into plan/"]);
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
