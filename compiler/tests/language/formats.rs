//! The output formats for machines.

use serde_json::Value;
use weir_compiler::diagnostics::REGISTRY;
use weir_compiler::{Analysis, render};

use crate::fixtures::{Fixture, check_with, library_with};

fn check(text: &str) -> Analysis {
    check_with("a.flow", text, &library_with(None))
}

#[test]
fn short_is_one_line_each_in_the_order_of_places() {
    for fixture in Fixture::all("wrong") {
        let analysis = fixture.check();
        let short = render::short(&analysis.diagnostics, &analysis.files);
        assert_eq!(short.lines().count(), analysis.diagnostics.len(), "{}", fixture.name);
        let own: Vec<(usize, usize)> = short
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{}:", fixture.file_name())))
            .map(|line| {
                let mut parts = line.splitn(3, ':');
                let mut number = || parts.next().unwrap().parse().unwrap();
                let place = (number(), number());
                let rest = parts.next().unwrap();
                let form = rest.starts_with(" error[E0") || rest.starts_with(" warning[E0");
                assert!(form && rest.contains("]: "), "{line}");
                place
            })
            .collect();
        assert!(own.is_sorted(), "{short}");
    }
}

#[test]
fn a_line_end_in_text_does_not_make_a_second_line() {
    let text = "source a = generate { start: \"to\\nday\" }\nsink b = stdout {}\nflow c { a -> b }\n";
    let analysis = check(text);
    let short = render::short(&analysis.diagnostics, &analysis.files);
    assert_eq!(
        short,
        "a.flow:1:30: error[E0403]: \"to\\nday\" is not a Time: it is no instant from the year -9999 through 9999\n"
    );
}

#[test]
fn columns_count_characters() {
    let text =
        "source a = generate { start: \"ä\u{1F980}\", every: 5 }\nsink b = stdout {}\nflow c { a -> b }\n";
    let analysis = check(text);
    let short = render::short(&analysis.diagnostics, &analysis.files);
    let places: Vec<&str> = short.lines().map(|line| &line[..12]).collect();
    assert_eq!(places, ["a.flow:1:30:", "a.flow:1:43:"]);
}

/// Checks the essential rules of the standard's schema: the required properties and the forms of values.
fn check_sarif(log: &Value) {
    assert_eq!(log["version"], "2.1.0");
    let runs = log["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "weir");
    let rules = driver["rules"].as_array().unwrap();
    assert_eq!(rules.len(), REGISTRY.len());
    for rule in rules {
        assert!(rule["help"]["text"].is_string() && rule["shortDescription"]["text"].is_string());
    }
    for result in run["results"].as_array().unwrap() {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert_eq!(rule["defaultConfiguration"]["level"], result["level"]);
        assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        assert_eq!(result["locations"].as_array().unwrap().len(), 1);
        let related = result["relatedLocations"].as_array().into_iter().flatten();
        for location in result["locations"].as_array().unwrap().iter().chain(related) {
            match location.get("physicalLocation") {
                Some(place) => {
                    check_uri(&place["artifactLocation"]["uri"]);
                    check_region(&place["region"]);
                }
                None => assert!(location["logicalLocations"][0]["fullyQualifiedName"].is_string()),
            }
        }
        for fix in result["fixes"].as_array().into_iter().flatten() {
            assert!(fix["description"]["text"].is_string());
            for change in fix["artifactChanges"].as_array().unwrap() {
                check_uri(&change["artifactLocation"]["uri"]);
                let replacements = change["replacements"].as_array().unwrap();
                assert!(!replacements.is_empty());
                for replacement in replacements {
                    check_region(&replacement["deletedRegion"]);
                    assert!(replacement["insertedContent"]["text"].is_string());
                }
            }
        }
    }
}

fn check_uri(uri: &Value) {
    let uri = uri.as_str().unwrap();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-._~/%:".contains(letter);
    assert!(!uri.is_empty() && uri.chars().all(allowed), "{uri}");
}

fn check_region(region: &Value) {
    let number = |name: &str| region[name].as_u64().unwrap();
    let (start, end) =
        ((number("startLine"), number("startColumn")), (number("endLine"), number("endColumn")));
    assert!(start.0 >= 1 && start.1 >= 1 && start <= end, "{region}");
}

#[test]
fn sarif_is_one_document_for_all_programs() {
    let library = library_with(None);
    let fixtures: Vec<Fixture> = Fixture::all("wrong");
    // Fixtures with their own signatures need another library.
    let fixtures = fixtures.iter().filter(|fixture| !fixture.path.with_extension("library").exists());
    let analysis: Vec<Analysis> = fixtures.map(Fixture::check).collect();
    let programs = analysis.iter().map(|analysis| (&*analysis.diagnostics, &analysis.files));
    let log: Value = serde_json::from_str(&render::sarif(programs, &library)).unwrap();
    check_sarif(&log);
    let expected: usize = analysis.iter().map(|analysis| analysis.diagnostics.len()).sum();
    assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), expected);
}

#[test]
fn sarif_has_places_labels_and_fixes() {
    let text = "source a = generate { rate: 5 }\nsink b = stdout {}\nflow c { a -> b }\n";
    let library = library_with(None);
    let analysis = check_with("some folder/ä.flow", text, &library);
    let log = render::sarif([(&*analysis.diagnostics, &analysis.files)], &library);
    let log: Value = serde_json::from_str(&log).unwrap();
    check_sarif(&log);
    let result = &log["runs"][0]["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "some%20folder/%C3%A4.flow");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&1.into(), &29.into()));
    let library = &result["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(library, "weir:library/generate.flow");
    let change = &result["fixes"][0]["artifactChanges"][0];
    assert_eq!(change["replacements"][0]["insertedContent"]["text"], "5/s");
    assert_eq!(change["replacements"][0]["deletedRegion"]["endColumn"], 30);
}
