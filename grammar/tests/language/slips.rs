//! What is said about typical slips: short, and what was meant.

use std::fmt::Write;

use weir_grammar::{FileId, SyntaxErrorKind, parse};

const SLIPS: [&str; 99] = [
    r#"sink a = files {
  path "x"
}"#,
    "sink a = files",
    "flow a delivers exactly_once",
    "schema A",
    "let a = [1 2]",
    "let a = f(1 2)",
    "sink a = b { c: 1 d: 2 }",
    "flow a { b -> }",
    "flow a { -> b }",
    "let a: 1",
    "source a: files {}",
    "flow a { b -> set x: 1 -> c }",
    "flow a { b -> let x: 1 -> c }",
    "sink a = b { c = 1 }",
    "param a = 1",
    "schema A { a = Text }",
    "let a = match b { 1 -> 2, _ => 3 }",
    "flow a { b -> match { c == 1 => d, _ -> e } }",
    "flow a { b -> set x = int(y) else 0 else reject -> c }",
    "flow a { b -> set x = int(y) else 0 + 1 -> c }",
    "flow a { b -> kep if x -> c }",
    "flow a { b -> keep iff x -> c }",
    "flow a delivres exactly_once { b -> c }",
    "flow a { b -> prase json as X -> c }",
    "flow a { b -> keep if a = b -> c }",
    "flow a { b -> drop if a = 1 -> c }",
    "quality q { a = 1 }",
    "let x = if a = 1 then 2 else 3",
    "flow a { b -> match { x = 1 -> c, _ -> d } }",
    r#"flow a { b -> reject if a = 1 because "x" -> c }"#,
    r#"extern sink a: plain { requires a = b because "x" }"#,
    "let x = if a then 2",
    "let x = if a 2 else 3",
    "flow a { b -> keep if x && y -> c }",
    "flow a { b -> keep if x || y -> c }",
    "flow a { b -> keep if !x -> c }",
    "let a = 'text'",
    "let a = 1;",
    "flow a { b -> keep if x is 5 -> c }",
    "flow a { b -> keep if x is not nul -> c }",
    "let a = 1 +\nlet b = 2",
    "flow a { b -> keep if x == -> c }",
    "fn f(a: Int) Int { a }",
    "fn f(a: Int) { a }",
    "fn f(a) -> Int { a }",
    "schema A { a: }",
    "schema A { a: Text secret }",
    "sink a = b { c: }",
    "source = files {}",
    "source a = {}",
    "source a files {}",
    "let match = 1",
    "schema A { in: Text }",
    "sink a = b { match: 1 }",
    "test x { crash }",
    r#"test "x" { sned a ["b"] }"#,
    r#"test "x" { send a "b" }"#,
    r#"test "x" { expect a }"#,
    r#"test "x" { fail a }"#,
    "import x",
    r#"import "x" as"#,
    "flow a { b -> rename x y -> c }",
    "flow a { b -> dedupe @key within 5min -> c }",
    "flow a { b -> dedupe by @key -> c }",
    "flow a { b -> reject if x because y -> c }",
    "flow a { b -> select a, b -> c }",
    "flow a { b -> unset -> c }",
    "param a: Int in 1 = 5",
    "param a: Int default 5",
    "extern sink a { }",
    "extern a: plain { }",
    "extern sink a: plain { requires a < b }",
    "enum A { a: 1 }",
    "sink a = b {} x",
    "flow a { b -> c } d",
    r#"let a = "x{b""#,
    r#"let a = "x{b + 1}""#,
    r#"let a = "x{}""#,
    "flow a { b -> copy c, d }",
    "flow a { b -> balance by @x c }",
    "flow a { b -> match { x c } }",
    "flow a { b -> failover c }",
    "flow a { b -> throttle -> c }",
    "flow a { b -> sample 1 % -> c }",
    "let a = b..c",
    "let a = lower user",
    "flow a { b -> keep if x not in [1] -> c }",
    "flow a { b c }",
    "agent x { memory: 1GiB }",
    "flow a delivers { b -> c }",
    "flow a delivers exactly_once ordered { b -> c }",
    "flow a { b -> parse json Click -> c }",
    "flow a { b -> parse -> c }",
    "let a = 5 -",
    r#"sink a = b { c: secret "x" }"#,
    "let a = match b { 1, 2 => 3 }",
    "fn f(a: Int) -> Int { let b = 1 }",
    "fn f(a: Int) -> Int { }",
    r#"sink a = files
  path: "x"
  roll: { size: 1 }
}
sink b = files {}"#,
];

#[test]
fn slips_are_told_in_few_words() {
    let mut told = String::new();
    for text in SLIPS {
        writeln!(told, "{text}").unwrap();
        for error in parse(FileId(0), text).errors {
            match error.kind {
                SyntaxErrorKind::Unexpected { found, expected, hint } => {
                    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                    writeln!(told, "  expected {}, found {found}{hint}", expected.join(" or ")).unwrap();
                }
                kind => writeln!(told, "  {kind:?}").unwrap(),
            }
        }
    }
    insta::assert_snapshot!(told);
}
