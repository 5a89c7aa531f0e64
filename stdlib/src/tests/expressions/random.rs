//! Random typed expressions over random batches, by the programs and by the slow evaluator.
//!
//! `WEIR_EXPRESSIONS=1000000 WEIR_SEED=7` tries more and others.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow_array::Scalar;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use fastrand::Rng;
use weir_plan::{
    Arithmetic, Comparison, Expression, FilledPart, HoleFormat, MatchArm, Operation, Pattern, Value,
};
use weir_runtime::batch::{Batch, Column, Origins};

use super::program::registry;
use super::slow::Event;
use super::value::{Single, array_of};

/// The types of the expressions.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bool,
    Int,
    Float,
    Text,
    Time,
    Duration,
    Size,
    Ints,
}

use Kind::{Bool, Duration, Float, Int, Ints, Size, Text, Time};

const KINDS: [Kind; 8] = [Bool, Int, Float, Text, Time, Duration, Size, Ints];

/// Functions with the types of their results and arguments.
const FUNCTIONS: &[(&str, Kind, &[Kind])] = &[
    ("lower", Text, &[Text]),
    ("upper", Text, &[Text]),
    ("trim", Text, &[Text]),
    ("squeeze", Text, &[Text]),
    ("reverse", Text, &[Text]),
    ("replace", Text, &[Text, Text, Text]),
    ("without_prefix", Text, &[Text, Text]),
    ("before", Text, &[Text, Text]),
    ("after_last", Text, &[Text, Text]),
    ("substring", Text, &[Text, Int, Int]),
    ("null_if", Text, &[Text, Text]),
    ("hex_encode", Text, &[Text]),
    ("text", Text, &[Int]),
    ("text", Text, &[Duration]),
    ("part", Text, &[Text, Text, Int]),
    ("snake_case", Text, &[Text]),
    ("truncate", Text, &[Text, Int, Text]),
    ("contains", Bool, &[Text, Text]),
    ("starts_with", Bool, &[Text, Text]),
    ("is_blank", Bool, &[Text]),
    ("equals_ignoring_case", Bool, &[Text, Text]),
    ("contains_all", Bool, &[Ints, Ints]),
    ("length", Int, &[Text]),
    ("index_of", Int, &[Text, Text]),
    ("int", Int, &[Text, Int]),
    ("abs", Int, &[Int]),
    ("min", Int, &[Int, Int]),
    ("max", Int, &[Int, Int]),
    ("clamp", Int, &[Int, Int, Int]),
    ("quotient", Int, &[Int, Int]),
    ("modulo", Int, &[Int, Int]),
    ("bit_and", Int, &[Int, Int]),
    ("shift_left", Int, &[Int, Int]),
    ("count", Int, &[Ints]),
    ("first", Int, &[Ints]),
    ("max_of", Int, &[Ints]),
    ("sum", Int, &[Ints]),
    ("unix_milliseconds", Int, &[Time]),
    ("to_int", Int, &[Float]),
    ("crc32", Int, &[Text]),
    ("float", Float, &[Text]),
    ("to_float", Float, &[Int]),
    ("floor", Float, &[Float]),
    ("sqrt", Float, &[Float]),
    ("max", Float, &[Float, Float]),
    ("seconds", Float, &[Duration]),
    ("truncate_time", Time, &[Time, Duration]),
    ("from_unix_seconds", Time, &[Int]),
    ("from_seconds", Duration, &[Float]),
    ("duration", Duration, &[Text]),
    ("min", Duration, &[Duration, Duration]),
    ("to_size", Size, &[Int]),
    ("sorted", Ints, &[Ints]),
    ("reversed", Ints, &[Ints]),
    ("distinct", Ints, &[Ints]),
    ("concat", Ints, &[Ints, Ints]),
    ("sublist", Ints, &[Ints, Int, Int]),
];

fn data_type(kind: Kind) -> DataType {
    match kind {
        Bool => DataType::Boolean,
        Int => DataType::Int64,
        Float => DataType::Float64,
        Text => DataType::Utf8View,
        Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Duration => DataType::Duration(TimeUnit::Microsecond),
        Size => DataType::UInt64,
        Ints => DataType::List(Arc::new(Field::new("item", DataType::Int64, false))),
    }
}

const TEXTS: [&str; 10] =
    ["", "a", "Ab", " x  y ", "17", "-4", "1.5e3", "Ärger", "a longer text, of words", "90s"];

fn int(rng: &mut Rng) -> i64 {
    match rng.u8(0..8) {
        0 => i64::MAX,
        1 => i64::MIN,
        2 => rng.i64(..),
        _ => rng.i64(-5..20),
    }
}

fn single(kind: Kind, rng: &mut Rng) -> Single {
    match kind {
        Bool => Single::Bool(rng.bool()),
        Int => Single::Int(int(rng)),
        Float => Single::Float(*rng.choice(&[0.0, 1.0, -2.5, 0.1, 1e18, 3.999]).unwrap()),
        Text => Single::Text((*rng.choice(&TEXTS).unwrap()).to_owned()),
        Time => Single::Time(rng.i64(-1_000_000_000_000..2_000_000_000_000_000)),
        Duration => Single::Duration(if rng.u8(0..9) == 0 { int(rng) } else { rng.i64(-5..9) * 500_000 }),
        Size => Single::Size(if rng.u8(0..9) == 0 { u64::MAX } else { rng.u64(0..5_000) }),
        Ints => Single::List((0..rng.usize(0..4)).map(|_| Single::Int(int(rng))).collect()),
    }
}

fn constant(value: &Single) -> Value {
    match value {
        Single::Bool(truth) => Value::Bool(*truth),
        Single::Int(number) | Single::Time(number) => Value::Int(*number),
        Single::Float(number) => Value::Float(*number),
        Single::Text(text) => Value::Text(text.clone()),
        Single::Size(size) => Value::Size(*size),
        Single::Duration(length) => match u64::try_from(*length) {
            Ok(length) => Value::Duration(std::time::Duration::from_micros(length)),
            Err(_) => Value::NegativeDuration(std::time::Duration::from_micros(
                length.unsigned_abs().min(i64::MAX as u64),
            )),
        },
        Single::List(items) => Value::List(items.iter().map(constant).collect()),
        _ => Value::Null,
    }
}

fn name(kind: Kind, number: usize) -> String {
    format!("c{}{number}", KINDS.iter().position(|known| *known == kind).unwrap())
}

/// Makes expressions.
struct Maker<'r> {
    rng: &'r mut Rng,
    /// The operations so far with their kinds and depths, some of which occur again.
    made: Vec<(Kind, u32, Expression)>,
}

impl Maker<'_> {
    fn of(&mut self, kind: Kind, depth: u32) -> Expression {
        if self.rng.u8(0..4) == 0 {
            let fits = |(of, deep, _): &&(Kind, u32, Expression)| *of == kind && *deep <= depth;
            let fitting: Vec<&Expression> = self.made.iter().filter(fits).map(|(.., known)| known).collect();
            if let Some(known) = self.rng.choice(fitting) {
                return known.clone();
            }
        }
        let made = self.new_of(kind, depth);
        if depth > 0 {
            self.made.push((kind, depth, made.clone()));
        }
        made
    }

    fn new_of(&mut self, kind: Kind, depth: u32) -> Expression {
        let operation = match depth {
            0 => self.leaf(kind),
            _ => self.operation(kind, depth - 1),
        };
        Expression { data_type: data_type(kind), nullable: true, operation }
    }

    fn boxed(&mut self, kind: Kind, depth: u32) -> Box<Expression> {
        Box::new(self.of(kind, depth))
    }

    fn leaf(&mut self, kind: Kind) -> Operation {
        match self.rng.u8(0..10) {
            0..7 => Operation::Column(name(kind, self.rng.usize(0..2))),
            7..9 => Operation::Literal(constant(&single(kind, self.rng))),
            _ => Operation::Literal(Value::Null),
        }
    }

    fn constants(&mut self, kind: Kind) -> Vec<Value> {
        (0..self.rng.usize(1..4)).map(|_| constant(&single(kind, self.rng))).collect()
    }

    fn operation(&mut self, kind: Kind, depth: u32) -> Operation {
        match self.rng.u8(0..10) {
            0 => self.leaf(kind),
            1 => Operation::Coalesce(self.boxed(kind, depth), self.boxed(kind, depth)),
            2 => Operation::Otherwise(self.boxed(kind, depth), self.boxed(kind, depth)),
            3 => Operation::If {
                cases: (0..self.rng.usize(1..3))
                    .map(|_| (self.of(Bool, depth), self.of(kind, depth)))
                    .collect(),
                otherwise: self.boxed(kind, depth),
            },
            4 => self.matched(kind, depth),
            5..7 => {
                let functions: Vec<_> = FUNCTIONS.iter().filter(|(_, result, _)| *result == kind).collect();
                let (function, _, arguments) = **self.rng.choice(&functions).unwrap();
                let arguments = arguments.iter().map(|argument| self.of(*argument, depth)).collect();
                Operation::Call { function: function.to_owned(), arguments, varies: false }
            }
            _ => self.own(kind, depth),
        }
    }

    fn matched(&mut self, kind: Kind, depth: u32) -> Operation {
        let of = *self.rng.choice(&[Int, Text, Bool]).unwrap();
        let arms = (0..self.rng.usize(1..3)).map(|_| {
            let pattern = match self.rng.u8(0..3) {
                0 => Pattern::Value(Value::Null),
                1 => Pattern::OneOf(self.constants(of)),
                _ => Pattern::Value(constant(&single(of, self.rng))),
            };
            MatchArm { patterns: vec![pattern], value: self.of(kind, depth) }
        });
        let arms = arms.collect();
        Operation::Match { subject: self.boxed(of, depth), arms, otherwise: Some(self.boxed(kind, depth)) }
    }

    /// Makes an operation that only this type has.
    fn own(&mut self, kind: Kind, depth: u32) -> Operation {
        use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
        let (operator, left, right) = match kind {
            Bool => return self.truth(depth),
            Text if self.rng.bool() => {
                let kind = *self.rng.choice(&[Int, Text]).unwrap();
                let value = self.of(kind, depth);
                let parts = vec![
                    FilledPart::Text("<".into()),
                    FilledPart::Value { value, format: HoleFormat::Plain },
                ];
                return Operation::Filled(parts);
            }
            Text => (Add, Text, Text),
            Int if self.rng.u8(0..4) == 0 => {
                return Operation::Index(self.boxed(Ints, depth), self.boxed(Int, depth));
            }
            Int if self.rng.u8(0..6) == 0 => return Operation::Negate(self.boxed(Int, depth)),
            Int => (*self.rng.choice(&[Add, Subtract, Multiply, Remainder]).unwrap(), Int, Int),
            Float => {
                let choices = [
                    (Add, Float),
                    (Subtract, Float),
                    (Divide, Float),
                    (Divide, Int),
                    (Divide, Duration),
                    (Divide, Size),
                ];
                let (operator, of) = *self.rng.choice(&choices).unwrap();
                (operator, of, of)
            }
            Time => (*self.rng.choice(&[Add, Subtract]).unwrap(), Time, Duration),
            Duration => *self
                .rng
                .choice(&[
                    (Add, Duration, Duration),
                    (Subtract, Time, Time),
                    (Multiply, Duration, Int),
                    (Multiply, Int, Duration),
                    (Divide, Duration, Int),
                ])
                .unwrap(),
            Size => {
                *self.rng.choice(&[(Add, Size, Size), (Subtract, Size, Size), (Multiply, Size, Int)]).unwrap()
            }
            Ints => return Operation::List((0..self.rng.usize(1..4)).map(|_| self.of(Int, depth)).collect()),
        };
        Operation::Arithmetic(operator, self.boxed(left, depth), self.boxed(right, depth))
    }

    fn truth(&mut self, depth: u32) -> Operation {
        let kind = *self.rng.choice(&KINDS).unwrap();
        let plain = if kind == Ints { Int } else { kind };
        match self.rng.u8(0..10) {
            0 => Operation::Not(self.boxed(Bool, depth)),
            1 => Operation::And(self.boxed(Bool, depth), self.boxed(Bool, depth)),
            2 => Operation::Or(self.boxed(Bool, depth), self.boxed(Bool, depth)),
            3 => Operation::IsNull(self.boxed(kind, depth)),
            4 => Operation::OneOf(self.boxed(plain, depth), self.constants(plain)),
            5 => Operation::Between(
                self.boxed(plain, depth),
                Box::new(self.literal(plain)),
                Box::new(self.literal(plain)),
            ),
            6 => Operation::Matches(self.boxed(Text, depth), "a|[0-9]".to_owned()),
            7 => {
                let kind = *self.rng.choice(&[Text, Ints]).unwrap();
                Operation::IsEmpty(self.boxed(kind, depth))
            }
            8 => Operation::Contains(self.boxed(Ints, depth), self.boxed(Int, depth)),
            _ => {
                use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
                let comparisons = [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual];
                let comparison = *self.rng.choice(&comparisons).unwrap();
                Operation::Compare(comparison, self.boxed(kind, depth), self.boxed(kind, depth))
            }
        }
    }

    fn literal(&mut self, kind: Kind) -> Expression {
        let operation = Operation::Literal(constant(&single(kind, self.rng)));
        Expression { data_type: data_type(kind), nullable: false, operation }
    }
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let columns = KINDS.iter().flat_map(|kind| [0, 1].map(|number| (name(*kind, number), data_type(*kind))));
    let fields: Vec<Field> = columns.map(|(name, data_type)| Field::new(name, data_type, true)).collect();
    Arc::new(Schema::new(fields))
});

/// Makes a batch: columns with and without nulls, slices of longer columns, and constants.
fn batch(rng: &mut Rng) -> Batch {
    let rows = *rng.choice(&[0, 1, 1, 2, 9, 30, 200]).unwrap();
    let rows = if rng.u16(0..2_000) == 0 { 5_000 } else { rows };
    let column = |kind: Kind, rng: &mut Rng| {
        let (nulls, before) = (rng.u8(0..3), rng.usize(0..3));
        let mut value = || if rng.u8(0..4) < nulls { Single::Null } else { single(kind, rng) };
        let values: Vec<Single> = (0..rows + before).map(|_| value()).collect();
        match rng.u8(0..4) {
            0 => Column::Constant(Scalar::new(array_of(&[single(kind, rng)], &data_type(kind)))),
            _ => Column::Array(array_of(&values, &data_type(kind)).slice(before, rows)),
        }
    };
    let columns = KINDS.iter().flat_map(|kind| [*kind; 2]).map(|kind| column(kind, rng)).collect();
    Batch::new(SCHEMA.clone(), columns, rows, Origins::default()).unwrap()
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |value| value.parse().unwrap())
}

#[test]
fn programs_agree_with_the_slow_evaluator() {
    let (first, count) = (number("WEIR_SEED", 1), number("WEIR_EXPRESSIONS", 100_000));
    let clock = Arc::new(weir_runtime::SystemClock) as Arc<dyn weir_runtime::Clock>;
    let (mut failed, mut compared) = (0, 0);
    for seed in first..first + count {
        let rng = &mut Rng::with_seed(seed);
        let kind = *rng.choice(&KINDS).unwrap();
        let depth = rng.u32(1..4);
        let expression = Maker { rng, made: Vec::new() }.of(kind, depth);
        let program = registry().compile(&expression, &[], &clock).unwrap();
        let batch = batch(rng);
        let evaluated =
            program.evaluate(&batch).unwrap_or_else(|error| panic!("{seed}: {expression:?}: {error}"));
        let failures: Vec<usize> = evaluated.failures.rows().collect();
        assert!(failures.iter().all(|row| *row < batch.rows()), "seed {seed}: {failures:?}");
        for _ in 0..batch.rows().min(12) {
            let row = rng.usize(0..batch.rows());
            let columns = SCHEMA.fields().iter().map(|field| {
                let column = batch.column(field.name()).unwrap();
                (field.name().clone(), Single::of_array(column.values(), column.index(row)))
            });
            let event =
                Event { columns: columns.collect::<HashMap<_, _>>(), locals: Vec::new(), functions: &[] };
            let wanted = event.value(&expression);
            compared += 1;
            let found = match failures.binary_search(&row) {
                Ok(_) => None,
                Err(_) => Some(Single::of_array(evaluated.values.values(), evaluated.values.index(row))),
            };
            failed += u64::from(found.is_none());
            let agree = match (&wanted, &found) {
                (Ok(wanted), Some(found)) => wanted.is_same(found),
                (Err(_), None) => true,
                _ => false,
            };
            assert!(
                agree,
                "seed {seed}, row {row}: {expression:?} is {found:?}, not {wanted:?}: {:?}",
                event.columns
            );
        }
    }
    assert!(compared > 2 * count && failed > count / 20, "{compared} compared, {failed} failed");
}
