//! Plans whose expressions no compiler would make.

use serde_json::json;

use super::*;

/// A step that calls functions, and one that can fail.
const PROGRAM: &str = r#"source lines = files { paths: ["/in/*.log"], mode: follow }
channel buffer = memory {}
sink out = null {}
flow main delivers at_least_once {
  lines
    -> drop if contains(lower(@file), "b")
    -> keep if length(body) * 9_000_000_000_000_000_000 > 10 else drop
    -> keep if length(body) / 2 > 0.5
    -> buffer
  buffer -> out
}
"#;

/// Where the call of this function stands.
fn call(plan: &Json, function: &str) -> String {
    let mut all = Vec::new();
    pointers(plan, &mut Vec::new(), &mut all);
    let is_call = |place: &&String| plan.pointer(&format!("{place}/function")) == Some(&Json::from(function));
    all.iter().find(is_call).unwrap_or_else(|| panic!("no call of {function}: {plan}")).clone()
}

fn refused(plan: &Json, change: impl FnOnce(&mut Json)) -> String {
    let mut changed = plan.clone();
    change(&mut changed);
    assert_ne!(changed, *plan);
    build(&changed.to_string(), &library()).expect_err("no agent is built of it")
}

#[test]
fn calls_with_missing_or_wrong_arguments_are_refused_by_their_step() {
    let plan = plan_of(PROGRAM, &library());
    assert_eq!(build(&plan.to_string(), &library()), Ok(()));
    let contains = call(&plan, "contains");
    let arguments = |plan: &mut Json| plan.pointer_mut(&format!("{contains}/arguments")).unwrap().take();
    let set = |plan: &mut Json, part: &str, value| {
        *plan.pointer_mut(&format!("{contains}/{part}")).unwrap() = value;
    };
    let number = json!({ "data_type": "Int64", "nullable": false, "operation": { "literal": { "int": 7 } } });
    let one_less = refused(&plan, |plan| {
        let mut given = arguments(plan);
        given.as_array_mut().unwrap().pop();
        set(plan, "arguments", given);
    });
    let takes = "`contains` has 1 arguments, and takes 2: contains(value: Text | Bytes, part: Text) -> Bool";
    assert!(one_less.contains(takes), "{one_less}");
    assert!(one_less.contains("flow main, step `drop if contains(lower(@file), \"b\")`"), "{one_less}");
    let none = refused(&plan, |plan| set(plan, "arguments", json!([])));
    assert!(none.contains("`contains` has 0 arguments, and takes 2"), "{none}");
    let one_more = refused(&plan, |plan| {
        let mut given = arguments(plan);
        given.as_array_mut().unwrap().push(number.clone());
        set(plan, "arguments", given);
    });
    assert!(one_more.contains("`contains` has 3 arguments, and takes 2"), "{one_more}");
    let another = refused(&plan, |plan| set(plan, "arguments/1", number.clone()));
    assert!(another.contains("`contains: part` is Int: contains("), "{another}");
    let null = refused(&plan, |plan| {
        set(plan, "arguments/1/nullable", json!(true));
        set(plan, "arguments/1/operation", json!({ "literal": "null" }));
    });
    assert!(null.contains("`contains: part` is null"), "{null}");
    let unknown = refused(&plan, |plan| set(plan, "function", json!("holds")));
    assert!(unknown.contains("there is no function `holds`"), "{unknown}");
    let varies = refused(&plan, |plan| {
        plan.pointer_mut(&contains).unwrap().as_object_mut().unwrap().insert("varies".into(), json!(true));
    });
    assert!(varies.contains("`contains` does not vary between calls"), "{varies}");
    let lower = call(&plan, "lower");
    let result = refused(&plan, |plan| {
        let expression = lower.strip_suffix("/operation/call").unwrap();
        *plan.pointer_mut(&format!("{expression}/data_type")).unwrap() = json!("BinaryView");
    });
    assert!(result.contains("the result of `lower` is Text, not Bytes"), "{result}");
}

#[test]
fn a_step_that_can_fail_says_what_happens_then() {
    let plan = plan_of(PROGRAM, &library());
    let step = "/flows/0/paths/0/segment/steps/1";
    let unsaid = refused(&plan, |plan| {
        plan.pointer_mut(step).unwrap().as_object_mut().unwrap().remove("on_failure").unwrap();
    });
    let fails =
        "it can fail (the result may be larger than can be counted), and `on_failure` says nothing of it";
    assert!(unsaid.contains(fails), "{unsaid}");
    // A divisor that is not zero is one of those that can't fail, until it is another one.
    let divided = refused(&plan, |plan| {
        let mut all = Vec::new();
        pointers(plan, &mut Vec::new(), &mut all);
        let mut twos = all.iter().filter(|place| place.starts_with("/flows/0/paths/0/segment/steps/2/"));
        let two = twos.rfind(|place| plan.pointer(place) == Some(&json!({ "int": 2 }))).cloned();
        *plan.pointer_mut(&two.expect("it divides by two")).unwrap() = json!({ "int": 0 });
    });
    assert!(divided.contains("it can fail (the divisor may be 0)"), "{divided}");
}
