//! Signatures: the library's declarations of components, settings, functions and parsers.

pub(crate) mod classes;

use std::collections::HashMap;
use std::mem::take;
use std::sync::{Arc, OnceLock};

use regex::Regex;
use weir_grammar::Span;
use weir_grammar::tree::{
    self, Amount, ExposesClause, Expression, ExpressionKind, Name, Number, Operator, OrderClause,
    OutsideClause, Requirement, Role, Shortfall, TextPart, TouchedClause, TypeName, TypeNameKind,
};
use weir_plan::{Decimal, TemplatePart, Value};

use crate::diagnostics::{Diagnostic, ForeignForm, OutOfRange, UnknownType};
use crate::files::sources::Files;
use crate::names::definitions::Definitions;
use crate::signatures::classes::Class;
use crate::spelling::nearest;
use crate::types::ranges::IntRange;
use crate::types::{BUILT_IN, Type};

/// The name of the library's record with the settings of `agent { … }`.
pub(crate) const AGENT_RECORD: &str = "Agent";
/// The name of the library's record with the settings that every source has.
pub(crate) const SOURCE_RECORD: &str = "AnySource";
/// The setting of the agent that is the name of the program.
pub(crate) const PROGRAM_NAME: &str = "name";

/// What a component may expose: its link can be read and changed on its way, a secret crosses the network as it is, anybody who
/// reaches its port may send, its peer is not known for certain.
pub(crate) const EXPOSED: [&str; 4] = ["link", "secret", "entry", "peer"];
/// What the agent touches: a TCP port and a UDP port where it listens, a host that it connects to, a file or a folder that it
/// reads or writes, its own state, what holds its progress elsewhere (a group, a topic), an environment variable.
pub(crate) const TOUCHED: [&str; 8] =
    ["port", "datagrams", "host", "input", "output", "state", "progress", "variable"];
/// The library's enum of what a sink may be given although the checker would refuse it.
pub(crate) const ALLOWED_ENUM: &str = "Allowed";
/// The variant of this enum for sensitive data.
pub(crate) const ALLOWED_SENSITIVE: &str = "sensitive";
/// The library's record of the keys with which a component encrypts what it stores.
pub(crate) const ENCRYPTION_RECORD: &str = "Encryption";

/// The library: all components, types, functions, parsers and interceptors that programs can use.
#[derive(Debug, Clone, Default)]
pub struct Library {
    pub(crate) files: Files,
    pub(crate) components: HashMap<(Role, Arc<str>), Arc<Signature>>,
    pub(crate) types: HashMap<Arc<str>, Named>,
    pub(crate) functions: HashMap<Arc<str>, Arc<FunctionSignature>>,
    pub(crate) parsers: HashMap<Arc<str>, Parser>,
    pub(crate) interceptors: HashMap<Arc<str>, Arc<tree::Interceptor>>,
    /// The names that the library declares.
    pub(crate) definitions: Arc<Definitions>,
    /// The names of other tools, in small letters, with the names that mean the same here.
    pub(crate) known_as: HashMap<String, Vec<Arc<str>>>,
    /// The implicit channel of a path without a channel.
    pub(crate) default_channel: Option<Arc<str>>,
}

/// The signature of a component: its class, its settings, and the columns that it emits or needs.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) name: Name,
    pub(crate) class: Class,
    pub(crate) class_span: Span,
    pub(crate) group: Group,
    pub(crate) emits: Vec<ColumnSignature>,
    pub(crate) needs: Vec<ColumnSignature>,
    /// The ways in which the component is weaker than its class.
    pub(crate) shortfalls: Vec<Shortfall>,
    /// What is known of the order of events beyond the order of each partition.
    pub(crate) orders: Vec<OrderClause>,
    /// What a source reads, or a sink writes.
    pub(crate) outside: Vec<OutsideClause>,
    /// What others can see or do, and what the agent touches.
    pub(crate) surface: Surface,
}

/// The clauses of a component or a variant about its surroundings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surface {
    /// What others can see or do.
    pub(crate) exposes: Vec<ExposesClause>,
    /// What the agent touches whatever the settings name.
    pub(crate) touched: Vec<TouchedClause>,
}

impl Surface {
    /// Takes the clauses out of a signature.
    pub(crate) fn taken_from(signature: &mut tree::Signature) -> Surface {
        Surface { exposes: take(&mut signature.exposes), touched: take(&mut signature.touched) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exposes.is_empty() && self.touched.is_empty()
    }
}

/// A parser, which reads the body of an event into fields.
#[derive(Debug, Clone)]
pub(crate) struct Parser {
    pub(crate) name: Name,
    pub(crate) class: ParserClass,
    pub(crate) group: Group,
    pub(crate) emits: Vec<ColumnSignature>,
    /// The reason why each field is a single value, if that is so.
    pub(crate) flat: Option<tree::Because>,
}

/// The origin of a parser's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParserClass {
    /// The fields of the schema that the step names.
    Typed,
    /// The fields of the parser's own signature.
    Fixed,
    /// The named groups of the parser's pattern, or the fields of a schema.
    Groups,
}

/// The settings of one owner, with their requirements and amounts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) settings: Vec<SettingSignature>,
    pub(crate) requires: Vec<Requirement>,
    pub(crate) amounts: Vec<Amount>,
}

impl Group {
    /// Returns the signature of the setting with this name.
    pub(crate) fn setting(&self, name: &str) -> Option<&SettingSignature> {
        self.settings.iter().find(|setting| &*setting.name.text == name)
    }
}

/// The signature of a setting.
#[derive(Debug, Clone)]
pub(crate) struct SettingSignature {
    pub(crate) name: Name,
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
    /// The clause that forbids two components with the same value, if there is one.
    pub(crate) exclusive: Option<tree::Exclusive>,
    pub(crate) range: Option<tree::Range>,
    /// What the agent reaches or touches by the value.
    pub(crate) touches: Vec<tree::Touches>,
    /// Whether a duration may be below zero, as that of a param.
    pub(crate) negatives: bool,
    pub(crate) default: Option<Expression>,
    /// The forms that the setting's texts must have.
    pub(crate) forms: Vec<Form>,
}

/// A form that the texts of a setting must have: `requires topic matches r"…" because "…"`.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) pattern: String,
    pub(crate) pattern_span: Span,
    /// The compiled pattern; `None` if the pattern is malformed.
    regex: OnceLock<Option<Regex>>,
    pub(crate) because: tree::Because,
}

impl Form {
    /// Returns the form that a requirement describes, with the name of its setting. Other requirements describe none.
    pub(crate) fn of(requirement: &Requirement) -> Option<(&str, Form)> {
        let ExpressionKind::Binary(Operator::Matches, setting, pattern) = &requirement.condition.kind else {
            return None;
        };
        let (ExpressionKind::Name(setting), ExpressionKind::Text(text)) = (&setting.kind, &pattern.kind)
        else {
            return None;
        };
        let [TextPart::Literal(text)] = text.parts.as_slice() else { return None };
        let because = requirement.because.clone();
        let (pattern, pattern_span) = (text.to_string(), pattern.span);
        Some((setting, Form { pattern, pattern_span, regex: OnceLock::new(), because }))
    }

    /// Returns whether a text has the form.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let regex = self.regex.get_or_init(|| Regex::new(&self.pattern).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }

    /// Returns the first text of a value that does not have the form. In a template a hole counts as a letter.
    pub(crate) fn misfit(&self, value: &Value) -> Option<String> {
        let text = match value {
            Value::Text(text) | Value::Regex(text) => text.clone(),
            Value::Template(template) => {
                let parts = template.parts.iter().map(|part| match part {
                    TemplatePart::Text(text) => text,
                    TemplatePart::Hole(_) => "x",
                });
                parts.collect()
            }
            Value::List(items) => return items.iter().find_map(|item| self.misfit(item)),
            _ => return None,
        };
        (!self.fits(&text)).then_some(text)
    }
}

/// A column that a source or parser emits, or that a sink needs.
#[derive(Debug, Clone)]
pub(crate) struct ColumnSignature {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
}

/// A type that the library declares.
#[derive(Debug, Clone)]
pub(crate) enum Named {
    Enum(Vec<Variant>),
    Record(Group),
}

/// A variant of an enum.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) name: Name,
    pub(crate) group: Option<Group>,
    /// The columns that a sink needs if a setting has this variant.
    pub(crate) needs: Vec<ColumnSignature>,
    /// The ways in which a component is weaker than its class if a setting has this variant.
    pub(crate) shortfalls: Vec<Shortfall>,
    /// The reason why each written field is a single value, if that is so.
    pub(crate) flat: Option<tree::Because>,
    /// What others can see or do, and what the agent touches, if a setting has this variant.
    pub(crate) surface: Surface,
}

/// The signature of a function.
#[derive(Debug, Clone)]
pub(crate) struct FunctionSignature {
    pub(crate) name: Arc<str>,
    pub(crate) declared: Span,
    pub(crate) parameters: Vec<ParameterSignature>,
    pub(crate) result: Type,
    pub(crate) optional: bool,
    /// Whether the results of two calls with the same arguments may differ.
    pub(crate) varies: bool,
    /// Whether the result reveals nothing about a sensitive argument.
    pub(crate) masks: bool,
    /// The origin of the digits of the result, if the arguments say them. The result is then a type variable.
    pub(crate) sizes: Option<ResultSizes>,
    /// The range of an `Int` result, if it is known.
    pub(crate) range: Option<IntRange>,
    /// The cause of failure, if the function can fail.
    pub(crate) fails: Option<String>,
    /// The index in the program's functions; `None` for a function of the library.
    pub(crate) index: Option<u32>,
}

/// The origin of the digits of a function's result. Parameters are given by their indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResultSizes {
    /// `Decimal(digits, scale)`: two parameters.
    Decimal { digits: usize, scale: usize },
    /// `Rounded(number, digits)`: the type of the parameter `number`; a decimal one has at most so many digits after the
    /// point.
    Rounded { number: usize, digits: usize },
}

/// A parameter of a function.
#[derive(Debug, Clone)]
pub(crate) struct ParameterSignature {
    pub(crate) name: Arc<str>,
    /// The place of the parameter's name.
    pub(crate) declared: Span,
    /// The allowed types of the argument; never empty.
    pub(crate) types: Vec<Type>,
    pub(crate) optional: bool,
    pub(crate) default: Option<Expression>,
}

impl ParameterSignature {
    /// Returns the types of the parameter in the syntax of the language.
    pub(crate) fn type_names(&self) -> String {
        let names: Vec<String> = self.types.iter().map(ToString::to_string).collect();
        let mark = if self.optional { "?" } else { "" };
        format!("{}{mark}", names.join(" | "))
    }
}

impl FunctionSignature {
    /// Returns the signature in the syntax of the language.
    pub(crate) fn usage(&self) -> String {
        let parameters: Vec<String> = self
            .parameters
            .iter()
            .map(|parameter| format!("{}: {}", parameter.name, parameter.type_names()))
            .collect();
        format!("{}({}) -> {}", self.name, parameters.join(", "), self.result.named(self.optional))
    }
}

impl Library {
    /// Returns the library's files. The files of an analysis begin with them.
    pub fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn signature(&self, role: Role, name: &str) -> Option<&Arc<Signature>> {
        self.components.get(&(role, Arc::from(name)))
    }

    /// Notes the names of other tools that the doc comments list: ``Also known as `a`, `b`.``
    pub(crate) fn note_known_as(&mut self) {
        for definition in self.definitions.iter() {
            let Some((_, names)) = definition.documentation.split_once(KNOWN_AS) else { continue };
            let names = names.split('\n').next().unwrap_or_default();
            for name in names.split('`').skip(1).step_by(2) {
                self.known_as.entry(name.to_ascii_lowercase()).or_default().push(definition.name.clone());
            }
        }
    }

    /// Returns the candidate that an unknown name most likely means: the one that other tools call so, or else the one
    /// with the most similar name.
    pub(crate) fn nearest<'c>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<&'c str> {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        self.known_as(name, candidates.iter().copied()).or_else(|| nearest(name, candidates))
    }

    /// Returns the candidate that other tools call by this name.
    pub(crate) fn known_as<'c>(
        &self,
        name: &str,
        mut candidates: impl Iterator<Item = &'c str>,
    ) -> Option<&'c str> {
        let here = self.known_as.get(&name.to_ascii_lowercase())?;
        candidates.find(|candidate| here.iter().any(|name| **name == **candidate))
    }

    /// Returns the type of a type's name, and whether it is optional.
    pub(crate) fn resolve(&self, type_name: &TypeName) -> Result<(Type, bool), Box<Diagnostic>> {
        self.resolve_with(type_name, &mut |_| None)
    }

    /// Resolves a type's name like `resolve`, with further types such as the schemas of a program.
    pub(crate) fn resolve_with(
        &self,
        type_name: &TypeName,
        others: &mut dyn FnMut(&tree::Path) -> Option<Type>,
    ) -> Result<(Type, bool), Box<Diagnostic>> {
        let resolved = match &type_name.kind {
            TypeNameKind::List(item) => Type::List(Box::new(self.resolve_with(item, others)?.0)),
            TypeNameKind::Applied(name, item) if &*name.text == "Map" => {
                Type::Map(Box::new(self.resolve_with(item, others)?.0))
            }
            TypeNameKind::Sized(name, digits, scale) if &*name.text == "Decimal" => decimal(digits, scale)?,
            TypeNameKind::Applied(name, item) if is_list(&name.text) || is_optional(&name.text) => {
                return Err(Box::new(generic(type_name, name, item).into()));
            }
            TypeNameKind::Applied(name, _) | TypeNameKind::Sized(name, ..) => {
                return Err(self.unknown_type(name));
            }
            TypeNameKind::Name(path) => match others(path) {
                Some(other) => other,
                None if path.qualifier.is_some() => return Err(self.unknown_type(&path.name)),
                None => self.named_type(&path.name)?,
            },
        };
        Ok((resolved, type_name.optional))
    }

    fn named_type(&self, name: &Name) -> Result<Type, Box<Diagnostic>> {
        if let Some(built_in) = Type::built_in(&name.text) {
            return Ok(built_in);
        }
        match self.types.get_key_value(&*name.text) {
            Some((name, _)) => Ok(Type::Named(name.clone())),
            None => Err(self.unknown_type(name)),
        }
    }

    fn unknown_type(&self, name: &Name) -> Box<Diagnostic> {
        let known = BUILT_IN.iter().map(|(name, _)| *name).chain(self.types.keys().map(AsRef::as_ref));
        let foreign = TYPES_ELSEWHERE.iter().find(|(foreign, _)| foreign.eq_ignore_ascii_case(&name.text));
        let near =
            foreign.map(|(_, here)| *here).or_else(|| self.nearest(&name.text, known)).map(str::to_owned);
        Box::new(UnknownType { name: name.text.to_string(), near, span: name.span }.into())
    }
}

fn is_list(name: &str) -> bool {
    matches!(name, "List" | "Array" | "Vec" | "Set" | "Seq" | "Sequence" | "Iterable")
}

fn is_optional(name: &str) -> bool {
    matches!(name, "Optional" | "Option" | "Maybe" | "Nullable")
}

/// `List<Text>` for `[Text]`, and `Optional<Text>` for `Text?`.
fn generic(whole: &TypeName, name: &Name, item: &TypeName) -> ForeignForm {
    let (open, close) = if is_list(&name.text) { ("[", "]") } else { ("", "?") };
    let before = Span { end: item.span.start, ..name.span };
    // The `?` of the whole type stays behind a list, and is there already behind an optional type.
    let mark = if whole.optional && is_list(&name.text) { "?" } else { "" };
    let after = Span { start: item.span.end, ..whole.span };
    let (message, title) = match is_list(&name.text) {
        true => ("the type of a list is written in brackets", "write `[…]`"),
        false => ("the type of what may be null ends with `?`", "write `…?`"),
    };
    let edits = vec![(before, open.to_owned()), (after, format!("{close}{mark}"))];
    ForeignForm::new(name.span, message, title, edits)
}

/// The mark of the names of other tools in a doc comment.
const KNOWN_AS: &str = "Also known as ";

/// The names of built-in types in other languages.
const TYPES_ELSEWHERE: [(&str, &str); 34] = [
    ("String", "Text"),
    ("str", "Text"),
    ("varchar", "Text"),
    ("char", "Text"),
    ("keyword", "Text"),
    ("Integer", "Int"),
    ("long", "Int"),
    ("short", "Int"),
    ("i64", "Int"),
    ("i32", "Int"),
    ("int32", "Int"),
    ("int64", "Int"),
    ("u64", "Int"),
    ("uint", "Int"),
    ("bigint", "Int"),
    ("double", "Float"),
    ("real", "Float"),
    ("f64", "Float"),
    ("float32", "Float"),
    ("float64", "Float"),
    ("boolean", "Bool"),
    ("timestamp", "Time"),
    ("datetime", "Time"),
    ("instant", "Time"),
    ("date", "Time"),
    ("interval", "Duration"),
    ("timespan", "Duration"),
    ("binary", "Bytes"),
    ("blob", "Bytes"),
    ("bytea", "Bytes"),
    ("object", "Json"),
    ("any", "Json"),
    ("inet", "Ip"),
    ("ipaddr", "Ip"),
];

/// The most digits of an Arrow decimal of 128 bits.
const DECIMAL_DIGITS_MAX: i64 = 38;

fn decimal(digits: &Expression, scale: &Expression) -> Result<Type, Box<Diagnostic>> {
    let number = |expression: &Expression, name: &str, least: i64, most: i64| match expression.kind {
        ExpressionKind::Number(Number::Int(number))
            if (i128::from(least)..=i128::from(most)).contains(&number) =>
        {
            Ok(number as u8)
        }
        _ => {
            let (name, span) = (name.to_owned(), expression.span);
            let value = match expression.kind {
                ExpressionKind::Number(Number::Int(number)) => number.to_string(),
                ExpressionKind::Number(Number::Point { digits, scale }) => {
                    Decimal::new(digits, scale).map_or("this".to_owned(), |number| number.to_string())
                }
                ExpressionKind::Name(ref name) => format!("`{name}`"),
                _ => "this".to_owned(),
            };
            let range = format!("a whole number from {least} to {most}");
            Err(Box::new(OutOfRange { name, value, range, span, declared: span }.into()))
        }
    };
    let digits_value = number(digits, "digits", 1, DECIMAL_DIGITS_MAX)?;
    Ok(Type::Decimal(digits_value, number(scale, "scale", 0, i64::from(digits_value))?))
}
