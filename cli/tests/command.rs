//! The output and the exit status of the `weir` command.

// Panics are test failures.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const CLEAN: &str = "source logs = generate {}\nsink out = stdout {}\nflow main { logs -> out }\n";
const WARNED: &str =
    "let hour = 1h\nsource logs = generate {}\nsink out = stdout {}\nflow main { logs -> out }\n";
const WRONG: &str =
    "source logs = generate { evry: 30ms }\nsink out = stdout {}\nflow main { logs -> out }\n";

struct Ended {
    status: i32,
    output: String,
    error: String,
}

/// Runs `weir` in a folder with a text on its standard input.
fn weir_in(folder: &Path, arguments: &[&str], input: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.current_dir(folder).args(arguments).env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its input may have ended before it is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let ended = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { status: ended.status.code().unwrap(), output: text(ended.stdout), error: text(ended.stderr) }
}

fn check(program: &str, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.flow"), program).unwrap();
    weir_in(folder.path(), &[&["check", "a.flow"], arguments].concat(), "")
}

#[test]
fn the_exit_status_shows_errors_denied_warnings_and_misuse() {
    assert_eq!(check(CLEAN, &[]).status, 0);
    assert_eq!(check(WARNED, &[]).status, 0);
    assert_eq!(check(WARNED, &["--deny", "warnings"]).status, 1);
    assert_eq!(check(WRONG, &[]).status, 1);
    assert_eq!(check(CLEAN, &["--format", "long"]).status, 2);
    assert_eq!(check(CLEAN, &["nowhere.flow"]).status, 2);
    assert_eq!(check(CLEAN, &["--set", "topic"]).status, 2);
}

#[test]
fn text_for_people_goes_to_standard_error_and_text_for_programs_to_standard_output() {
    let human = check(WRONG, &[]);
    assert!(human.output.is_empty() && human.error.contains("did you mean `every`?"), "{}", human.error);
    let short = check(WRONG, &["--format", "short"]);
    assert_eq!(short.output, "a.flow:1:26: error[E0203]: the source generate has no setting `evry`\n");
    assert!(short.error.is_empty());
    let json: Value = serde_json::from_str(&check(WRONG, &["--format", "json"]).output).unwrap();
    assert_eq!(json[0]["fix"]["edits"][0]["replacement"], "every");
    let sarif: Value = serde_json::from_str(&check(WRONG, &["--format", "sarif", "-v"]).output).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "E0203");
}

#[test]
fn the_diagnostics_of_several_programs_are_one_document() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.flow"), WRONG).unwrap();
    fs::write(folder.path().join("b.flow"), WRONG).unwrap();
    for format in ["json", "sarif"] {
        let ended = weir_in(folder.path(), &["check", ".", "--format", format], "");
        let document: Value = serde_json::from_str(&ended.output).unwrap();
        let results = if format == "json" { &document } else { &document["runs"][0]["results"] };
        assert_eq!((ended.status, results.as_array().unwrap().len()), (1, 2));
    }
    let clean = check(CLEAN, &["--format", "json"]);
    assert_eq!(clean.output, "[]\n");
}

#[test]
fn only_terminals_get_colours_unless_the_option_asks_for_them() {
    let coloured = |arguments: &[&str]| check(WRONG, arguments).error.contains('\u{1b}');
    assert!(!coloured(&[]));
    assert!(coloured(&["--color", "always"]));
    assert!(!coloured(&["--color", "never"]));
}

#[test]
fn a_fixed_file_keeps_its_line_ends_permissions_and_links() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.flow");
    fs::write(&path, WRONG.replace('\n', "\r\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("a.flow", folder.path().join("link.flow")).unwrap();
    let ended = weir_in(folder.path(), &["check", "--fix", "link.flow"], "");
    assert_eq!(ended.status, 0, "{}", ended.error);
    assert!(ended.error.contains("link.flow:1: fixed E0203: write `every`"), "{}", ended.error);
    assert_eq!(fs::read_to_string(&path).unwrap(), WRONG.replace("evry", "every").replace('\n', "\r\n"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(folder.path().join("link.flow").is_symlink());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
}

#[test]
fn a_program_on_standard_input_is_printed_with_its_fixes() {
    let folder = tempfile::tempdir().unwrap();
    let ended = weir_in(folder.path(), &["check", "--fix", "-"], WRONG);
    assert_eq!((ended.status, ended.output), (0, WRONG.replace("evry", "every")));
    let ended = weir_in(folder.path(), &["check", "--fix", "-"], CLEAN);
    assert_eq!((ended.status, ended.output.as_str()), (0, CLEAN));
}

#[test]
fn codes_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let explain = |arguments: &[&str]| weir_in(folder.path(), &[&["explain"], arguments].concat(), "");
    let page = explain(&["e0203"]);
    assert_eq!(page.status, 0);
    assert!(page.output.starts_with("# E0203: ") && page.output.contains("```flow right"));
    let unknown = explain(&["E0230"]);
    assert_eq!((unknown.status, unknown.output.as_str()), (2, ""));
    assert_eq!(unknown.error, "weir: there is no code E0230: did you mean E0203?\n");
    let list = explain(&[]);
    assert_eq!(list.status, 0);
    assert!(list.output.starts_with("Syntax\n  E0101  error    "), "{}", list.output);
    assert!(list.output.contains("\nNames\n") && list.output.contains("  E0206  warning  "));
}

const UGLY: &str = "sink  out=stdout{} // here\n";
const PRETTY: &str = "sink out = stdout {}  // here\n";

#[test]
fn programs_are_formatted_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.flow");
    fs::write(&path, UGLY).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let checked = weir_in(folder.path(), &["fmt", "--check", "."], "");
    assert_eq!((checked.status, checked.output.as_str()), (1, "./a.flow\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), UGLY);
    assert_eq!(weir_in(folder.path(), &["fmt", "."], "").status, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), PRETTY);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(weir_in(folder.path(), &["fmt", "--check", "a.flow"], "").status, 0);
}

#[test]
fn standard_input_is_formatted_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let formatted = weir_in(folder.path(), &["fmt", "-"], UGLY);
    assert_eq!((formatted.status, formatted.output.as_str()), (0, PRETTY));
    assert_eq!(weir_in(folder.path(), &["fmt", "--check", "-"], PRETTY).status, 0);
}

#[test]
fn a_program_with_syntax_errors_is_not_formatted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.flow");
    fs::write(&path, "let  a 1\n").unwrap();
    fs::write(folder.path().join("b.flow"), UGLY).unwrap();
    let formatted = weir_in(folder.path(), &["fmt", "a.flow", "b.flow"], "");
    assert_eq!(formatted.status, 1);
    assert!(
        formatted.error.contains("E0101") && formatted.error.contains("a.flow:1:8"),
        "{}",
        formatted.error
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "let  a 1\n");
    assert_eq!(fs::read_to_string(folder.path().join("b.flow")).unwrap(), PRETTY);
    assert_eq!(weir_in(folder.path(), &["fmt", "nowhere.flow"], "").status, 2);
    assert_eq!(weir_in(folder.path(), &["fmt"], "").status, 2);
}

const SHARED: &str = "schema Click {\n  url: Text\n}\nlet broken = 30sec\n";
const IMPORTER: &str = "import \"shared/types.flow\"\nsource logs = generate {}\nsink out = stdout { format: json }\n\
    flow main { logs -> parse json as Click else drop -> out }\n";

/// A folder with two programs that import one file.
fn importers(shared: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("shared")).unwrap();
    fs::write(folder.path().join("shared/types.flow"), shared).unwrap();
    for name in ["a.flow", "b.flow"] {
        fs::write(folder.path().join(name), IMPORTER).unwrap();
    }
    folder
}

#[test]
fn mistakes_in_an_imported_file_are_reported_once() {
    let folder = importers(SHARED);
    let short = |arguments: &[&str]| {
        let ended = weir_in(folder.path(), &[&["check", "--format", "short"], arguments].concat(), "");
        (ended.status, ended.output)
    };
    let at = |name: &str| format!("{name}:4:16: error[E0104]: ");
    let (status, output) = short(&["."]);
    assert_eq!((status, output.lines().count()), (1, 1), "{output}");
    assert!(output.starts_with(&at("shared/types.flow")), "{output}");
    // Two paths of the same file are one program.
    let (status, output) = short(&["a.flow", "./a.flow", "./shared/../b.flow"]);
    assert_eq!((status, output.lines().count()), (1, 1), "{output}");
    assert_eq!(weir_in(folder.path(), &["check", "-"], IMPORTER).status, 1, "imports of standard input");
    let missing = IMPORTER.replace("types", "nothing");
    let ended = weir_in(folder.path(), &["check", "--format", "short", "-"], &missing);
    assert!(ended.output.contains("can't read shared/nothing.flow: no such file"), "{}", ended.output);
    fs::remove_file(folder.path().join("shared/types.flow")).unwrap();
    fs::create_dir(folder.path().join("shared/types.flow")).unwrap();
    assert!(short(&["a.flow"]).1.contains("can't read shared/types.flow: it is a folder"));
}

#[test]
fn fixes_are_made_in_imported_files() {
    let folder = importers(SHARED);
    let ended = weir_in(folder.path(), &["check", "--fix", "./a.flow", "b.flow"], "");
    assert_eq!(ended.status, 0, "{}", ended.error);
    let text = fs::read_to_string(folder.path().join("shared/types.flow")).unwrap();
    assert_eq!(text, SHARED.replace("30sec", "30s"));
    assert_eq!(ended.error.matches("shared/types.flow:4: fixed").count(), 1, "{}", ended.error);
}

#[test]
fn a_variable_that_is_not_utf_8_counts_as_not_set() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let program = "source logs = generate {}\nsink out = files { path: env(\"WHERE_TO\") }\nflow main { logs -> out }\n";
    fs::write(folder.path().join("a.flow"), program).unwrap();
    let check = |value: &OsStr| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command
            .current_dir(folder.path())
            .args(["check", "--format", "short", "a.flow"])
            .env("WHERE_TO", value);
        let ended = command.output().unwrap();
        (ended.status.code().unwrap(), String::from_utf8(ended.stdout).unwrap())
    };
    assert_eq!(check(OsStr::new("/tmp/out")), (0, String::new()));
    let (status, output) = check(OsStr::from_bytes(b"/tmp/\xff"));
    assert!(status == 1 && output.contains("WHERE_TO is not set"), "{output}");
}

#[test]
fn a_file_that_can_not_be_read_is_misuse() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bytes.flow"), b"\xff").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let cases = [
        (&["check", "nowhere.flow"][..], "weir: can't read nowhere.flow: no such file\n"),
        (&["plan", "nowhere.flow"], "weir: can't read nowhere.flow: no such file\n"),
        (&["graph", "nowhere.flow"], "weir: can't read nowhere.flow: no such file\n"),
        (&["run", "nowhere.json"], "weir: can't read nowhere.json: no such file\n"),
        (&["run", "empty"], "weir: can't read empty: it is a folder\n"),
        (&["check", "bytes.flow"], "weir: can't read bytes.flow: it is not UTF-8\n"),
        (&["check", "empty"], "weir: there is no .flow file in empty\n"),
    ];
    for (arguments, expected) in cases {
        let ended = weir_in(folder.path(), arguments, "");
        assert_eq!((ended.status, ended.error.as_str(), ended.output.as_str()), (2, expected, ""));
    }
}

#[test]
fn types_plans_and_graphs_go_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let weir = |arguments: &[&str]| weir_in(folder.path(), arguments, CLEAN);
    let verbose = weir(&["check", "-v", "-"]);
    assert_eq!(verbose.status, 0);
    assert!(
        verbose.output.starts_with("flow main delivers at_least_once\n  logs\n      { @"),
        "{}",
        verbose.output
    );
    assert!(weir(&["plan", "-"]).output.starts_with("program stdin, plan version "));
    assert!(weir(&["graph", "-"]).output.contains("\n  logs · generate\n  └─▶ logs_to_out · channel memory"));
    assert!(weir(&["graph", "--format", "mermaid", "-"]).output.starts_with("flowchart LR\n"));
    assert!(weir(&["graph", "--format", "dot", "-"]).output.starts_with("digraph \"stdin\" {\n"));
    let wrong = weir_in(folder.path(), &["graph", "-"], WRONG);
    assert_eq!((wrong.status, wrong.output.as_str()), (1, ""));
    assert!(wrong.error.contains("E0203"));
}

#[test]
fn a_plan_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plan = weir_in(folder.path(), &["plan", "--format", "json", "-"], CLEAN).output;
    let mut plan: Value = serde_json::from_str(&plan).unwrap();
    plan["version"] = Value::from(1_000);
    fs::write(folder.path().join("plan.json"), plan.to_string()).unwrap();
    fs::write(folder.path().join("other.json"), "{}").unwrap();
    let ended = weir_in(folder.path(), &["run", "plan.json"], "");
    assert_eq!((ended.status, ended.output.as_str()), (2, ""));
    assert!(
        ended.error.contains("plan.json: the plan has version 1000; this weir runs version "),
        "{}",
        ended.error
    );
    let ended = weir_in(folder.path(), &["run", "other.json"], "");
    assert!(ended.status == 2 && ended.error.contains("not a plan"), "{}", ended.error);
}

#[test]
fn constructs_that_this_version_can_not_run_are_refused_before_the_start() {
    let program = "source clicks = generate { count: 1 }\nsink lake = files { path: \"lake\" }\n\
                   sink copies = files { path: \"copies\" }\nsink others = files { path: \"others\" }\n\
                   flow main { clicks -> failover { lake, copy { copies, others } } }\n";
    let folder = tempfile::tempdir().unwrap();
    let ended = weir_in(folder.path(), &["run", "-"], program);
    assert_eq!((ended.status, ended.output.as_str()), (1, ""), "{}", ended.error);
    assert!(ended.error.ends_with(" is not started\n"), "{}", ended.error);
    assert!(ended.error.contains("warning[E0002]: "), "{}", ended.error);
}

#[test]
fn code_hosts_get_their_formats() {
    let github = check(WRONG, &["--format", "github"]);
    assert_eq!(github.status, 1);
    let expected = "::error file=a.flow,line=1,endLine=1,col=26,endColumn=30,title=E0203::";
    assert!(github.output.starts_with(expected), "{}", github.output);
    let gitlab = check(WRONG, &["--format", "gitlab"]);
    let report: Value = serde_json::from_str(&gitlab.output).unwrap();
    let finding = &report[0];
    assert_eq!((&finding["check_name"], &finding["severity"]), (&"E0203".into(), &"major".into()));
    assert_eq!(
        (&finding["location"]["path"], &finding["location"]["lines"]["begin"]),
        (&"a.flow".into(), &1.into())
    );
    assert_eq!(finding["fingerprint"].as_str().unwrap().len(), 16);
    assert_eq!(check(CLEAN, &["--format", "gitlab"]).output, "[]\n");
    assert_eq!(check(CLEAN, &["--format", "github"]).output, "");
}

#[test]
fn watched_programs_are_checked_again_after_a_change() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("a.flow");
    fs::write(&program, format!("import \"b.flow\"\n{CLEAN}")).unwrap();
    fs::write(folder.path().join("b.flow"), "let hour = 1h\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.current_dir(folder.path()).args(["check", "--watch", "--format", "github", "a.flow"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The imported file gets an error, and then the program itself.
    fs::write(folder.path().join("b.flow"), "let hour = 1x\n").unwrap();
    assert!(lines.next().unwrap().unwrap().contains("file=b.flow"));
    fs::write(&program, WRONG).unwrap();
    assert!(lines.any(|line| line.unwrap().contains("E0203")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(check(CLEAN, &["--watch", "-"]).status, 2);
}
