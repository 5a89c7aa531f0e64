//! Signatures: what the library says of components, their settings, functions and parsers.

pub(crate) mod classes;

use std::collections::HashMap;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{
    self, Amount, Expression, ExpressionKind, Name, Number, Requirement, Role, Shortfall, TypeName,
    TypeNameKind,
};

use crate::diagnostics::{Diagnostic, OutOfRange, UnknownType};
use crate::files::sources::Files;
use crate::names::definitions::Definitions;
use crate::signatures::classes::Class;
use crate::spelling::nearest;
use crate::types::{BUILT_IN, Type};

/// The record of the library that says what `agent { … }` may set.
pub(crate) const AGENT_RECORD: &str = "Agent";

/// Every component that programs can use, and the types of their settings.
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
    /// The channel that a path gets which names none.
    pub(crate) default_channel: Option<Arc<str>>,
}

/// What a component takes, gives and can do.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) name: Name,
    pub(crate) class: Class,
    pub(crate) class_span: Span,
    pub(crate) group: Group,
    pub(crate) emits: Vec<ColumnSignature>,
    pub(crate) needs: Vec<ColumnSignature>,
    /// What it may do although its class would not.
    pub(crate) shortfalls: Vec<Shortfall>,
}

/// What reads a body into fields.
#[derive(Debug, Clone)]
pub(crate) struct Parser {
    pub(crate) name: Name,
    pub(crate) class: ParserClass,
    pub(crate) group: Group,
    pub(crate) emits: Vec<ColumnSignature>,
}

/// Where a parser's fields come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParserClass {
    /// From the schema that the step names.
    Typed,
    /// From the parser's own signature.
    Fixed,
    /// From the named groups of its pattern, or a schema.
    Groups,
}

/// Settings that belong together, and what must hold between them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    pub(crate) settings: Vec<SettingSignature>,
    pub(crate) requires: Vec<Requirement>,
    pub(crate) amounts: Vec<Amount>,
}

/// One setting.
#[derive(Debug, Clone)]
pub(crate) struct SettingSignature {
    pub(crate) name: Name,
    pub(crate) value_type: Type,
    pub(crate) optional: bool,
    /// Whether no two components of a program may have the same value.
    pub(crate) exclusive: Option<tree::Exclusive>,
    pub(crate) range: Option<tree::Range>,
    pub(crate) default: Option<Expression>,
}

/// One column that a source emits or a sink needs.
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
    /// What a sink needs that is set to it.
    pub(crate) needs: Vec<ColumnSignature>,
    /// What a component may do that is set to it, although its class would not.
    pub(crate) shortfalls: Vec<Shortfall>,
}

/// What a function takes and gives.
#[derive(Debug, Clone)]
pub(crate) struct FunctionSignature {
    pub(crate) name: Arc<str>,
    pub(crate) declared: Span,
    pub(crate) parameters: Vec<ParameterSignature>,
    pub(crate) result: Type,
    pub(crate) optional: bool,
    /// Whether two calls with the same arguments may differ.
    pub(crate) varies: bool,
    /// Whether its result tells nothing about a sensitive argument.
    pub(crate) masks: bool,
    /// Why it can fail, if it can.
    pub(crate) fails: Option<String>,
    /// Its place among the program's functions; none for one of the library.
    pub(crate) index: Option<u32>,
}

/// A parameter of a function.
#[derive(Debug, Clone)]
pub(crate) struct ParameterSignature {
    pub(crate) name: Arc<str>,
    /// The place of its name.
    pub(crate) declared: Span,
    /// The types that an argument may have; never empty.
    pub(crate) types: Vec<Type>,
    pub(crate) optional: bool,
    pub(crate) default: Option<Expression>,
}

impl ParameterSignature {
    /// Its types as they are written.
    pub(crate) fn type_names(&self) -> String {
        let names: Vec<String> = self.types.iter().map(ToString::to_string).collect();
        let mark = if self.optional { "?" } else { "" };
        format!("{}{mark}", names.join(" | "))
    }
}

impl FunctionSignature {
    /// The signature as a program would write it.
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
    pub(crate) fn signature(&self, role: Role, name: &str) -> Option<&Arc<Signature>> {
        self.components.get(&(role, Arc::from(name)))
    }

    /// The type that a type's name means, and whether it is optional.
    pub(crate) fn resolve(&self, type_name: &TypeName) -> Result<(Type, bool), Box<Diagnostic>> {
        self.resolve_with(type_name, &mut |_| None)
    }

    /// The same, where some names may mean other types, such as a program's schemas.
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
        let near = nearest(&name.text, known).map(str::to_owned);
        Box::new(UnknownType { name: name.text.to_string(), near, span: name.span }.into())
    }
}

/// The digits of Arrow's decimals of 128 bits.
const DECIMAL_DIGITS_MAX: i64 = 38;

fn decimal(digits: &Expression, scale: &Expression) -> Result<Type, Box<Diagnostic>> {
    let number = |expression: &Expression, name: &str, least: i64, most: i64| match expression.kind {
        ExpressionKind::Number(Number::Int(number)) if (least..=most).contains(&number) => Ok(number as u8),
        _ => {
            let (name, span) = (name.to_owned(), expression.span);
            let value = match expression.kind {
                ExpressionKind::Number(Number::Int(number)) => number.to_string(),
                ExpressionKind::Number(Number::Float(number)) => number.to_string(),
                _ => "this".to_owned(),
            };
            let range = format!("a whole number from {least} to {most}");
            Err(Box::new(OutOfRange { name, value, range, span, declared: span }.into()))
        }
    };
    let digits_value = number(digits, "digits", 1, DECIMAL_DIGITS_MAX)?;
    Ok(Type::Decimal(digits_value, number(scale, "scale", 0, i64::from(digits_value))?))
}
