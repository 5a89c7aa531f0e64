use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BinaryViewArray, StringViewArray};
use arrow_schema::DataType;
use weir_plan::{Expression, Operation};
use weir_runtime::expressions::Evaluated;

use super::*;

/// Calls a function of the library with these columns. If `constant` is given, the last argument is this constant.
fn called(name: &str, arguments: Vec<Column>, constant: Option<&str>) -> Evaluated {
    let rows = arguments[0].values().len();
    let given = |column: &Column| Expression {
        data_type: column.data_type().clone(),
        nullable: true,
        operation: Operation::Column("x".into()),
    };
    let mut planned: Vec<Expression> = arguments.iter().map(given).collect();
    let mut arguments = arguments;
    if let Some(text) = constant {
        let operation = Operation::Literal(Value::Text(text.into()));
        planned.push(Expression { data_type: DataType::Utf8View, nullable: false, operation });
        arguments.push(Column::constant_text(text));
    }
    let registry = register(Registry::default());
    let function = registry.make_function(name, &planned).unwrap();
    function.call(&arguments, rows).unwrap()
}

fn texts(values: &[Option<&str>]) -> Column {
    Column::Array(Arc::new(StringViewArray::from(values.to_vec())))
}

fn bytes(values: &[&[u8]]) -> Column {
    Column::Array(Arc::new(BinaryViewArray::from_iter_values(values)))
}

const WORDS: [Option<&str>; 5] =
    [Some("Ärger"), None, Some(""), Some("  a long text with BLANKS around it\n"), Some("ascii")];

#[test]
fn text_is_changed_value_by_value() {
    for (name, expected) in [
        (
            "lower",
            [Some("ärger"), None, Some(""), Some("  a long text with blanks around it\n"), Some("ascii")],
        ),
        (
            "upper",
            [Some("ÄRGER"), None, Some(""), Some("  A LONG TEXT WITH BLANKS AROUND IT\n"), Some("ASCII")],
        ),
        ("trim", [Some("Ärger"), None, Some(""), Some("a long text with BLANKS around it"), Some("ascii")]),
    ] {
        let changed = called(name, vec![texts(&WORDS)], None);
        let found: Vec<Option<&str>> = changed.values.values().as_string_view().iter().collect();
        assert_eq!(found, expected, "{name}");
        assert!(changed.failures.is_empty());
    }
}

#[test]
fn the_length_counts_characters_of_text_and_bytes_of_bytes() {
    let lengths = |column| -> Vec<Option<i64>> {
        called("length", vec![column], None).values.values().as_primitive::<Int64Type>().iter().collect()
    };
    assert_eq!(lengths(texts(&WORDS)), [Some(5), None, Some(0), Some(36), Some(5)]);
    assert_eq!(lengths(bytes(&["Ärger".as_bytes(), b"\xff\xfe"])), [Some(6), Some(2)]);
}

fn truths(evaluated: &Evaluated) -> Vec<Option<bool>> {
    evaluated.values.values().as_boolean().iter().collect()
}

#[test]
fn parts_are_found_in_text_and_bytes_whether_they_are_constants_or_not() {
    let values = [Some("GET /a.gz"), None, Some(""), Some("/a.gz GET")];
    for (name, part, expected) in [
        ("starts_with", "GET", [Some(true), None, Some(false), Some(false)]),
        ("ends_with", ".gz", [Some(true), None, Some(false), Some(false)]),
        ("contains", "/a.", [Some(true), None, Some(false), Some(true)]),
        ("contains", "", [Some(true), None, Some(true), Some(true)]),
    ] {
        let parts = texts(&[Some(part); 4]);
        assert_eq!(truths(&called(name, vec![texts(&values)], Some(part))), expected, "{name}");
        assert_eq!(truths(&called(name, vec![texts(&values), parts], None)), expected, "{name}");
        let raw = bytes(&[b"GET /a.gz", b"\xff/a.", b"", b"/a.gz GET"]);
        let of_bytes = truths(&called(name, vec![raw], Some(part)));
        assert_eq!((of_bytes[0], of_bytes[3]), (expected[0], expected[3]), "{name}");
    }
    let missing = called("contains", vec![texts(&values), texts(&[None; 4])], None);
    assert_eq!(truths(&missing), [None; 4]);
}

#[test]
fn an_argument_of_another_type_is_an_error() {
    let registry = register(Registry::default());
    let number = [Column::constant_int(1)];
    for name in ["length", "lower"] {
        let function = registry.make_function(name, &[]).unwrap();
        assert!(function.call(&number, 1).unwrap_err().to_string().contains("Int64 where Text"));
        assert!(function.call(&[], 1).unwrap_err().to_string().contains("argument 0 is missing"));
    }
}
