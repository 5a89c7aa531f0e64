//! Checks `parse`, which turns a body into fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Block, Entry, Failure, Name, Parse, Step};
use weir_plan::{Action, BODY, OnFailure, Settings as PlannedSettings, Value};

use super::{State, StepCheck};
use crate::analysis::graph::Step as CheckedStep;
use crate::checker::Owner;
use crate::diagnostics::{CanFail, NeedsSchema, NestedField, UnknownName, WrongArguments, WrongType};
use crate::expressions::no_such_column;
use crate::names::scopes::Meaning;
use crate::names::visit::Mention;
use crate::signatures::{Parser, ParserClass};
use crate::types::columns::{Column, Origin};
use crate::types::{FieldFormat, FieldType, Type};
use crate::values::regexes;

impl<'c> StepCheck<'_, 'c> {
    pub(super) fn parse(
        &mut self,
        step: &Step,
        parse: &Parse,
        state: &mut State,
        to: &mut Vec<CheckedStep>,
    ) -> Option<()> {
        let on_failure = self.parse_failure(step, parse);
        let body = self.body(parse, state);
        let Some(parser) = self.parser(parse) else {
            Arc::make_mut(&mut state.columns).lost = true;
            return None;
        };
        let settings = self.parser_settings(parser, parse);
        let fields = self.fields(parser, parse, settings.as_ref());
        let Some(fields) = fields else {
            let columns = Arc::make_mut(&mut state.columns);
            columns.remove(BODY);
            columns.lost = true;
            return None;
        };
        let place = parse.schema.as_ref().map_or(parse.parser.function.span(), |schema| schema.span());
        let first = state.columns.origins.first().cloned();
        let origin = first.unwrap_or_else(|| Origin { name: parser.name.text.as_ref().into(), span: place });
        let named: Vec<Span> = fields.iter().map(|field| self.named_by(field, step.span)).collect();
        let columns = Arc::make_mut(&mut state.columns);
        let body_is_sensitive = columns.remove(BODY).is_some_and(|body| body.sensitive);
        for (field, named) in fields.iter().zip(named) {
            let column = Column {
                value_type: field.value_type.clone(),
                optional: field.optional,
                sensitive: field.sensitive || body_is_sensitive,
                origin: origin.clone(),
                declared: field.span,
                named: Arc::new([named]),
                lacking: None,
                attached: false,
                range: field.range(),
            };
            state.bindings.forget(&field.name);
            columns.insert(field.name.clone(), column);
        }
        for field in &fields {
            self.not_hidden(&field.name, place, step.span);
        }
        let (settings, on_failure) = (settings?, on_failure?);
        body?;
        let action = Action::Parse {
            parser: parser.name.text.to_string(),
            settings: PlannedSettings { values: settings },
            fields: fields.iter().map(FieldType::parsed).collect(),
            strict: parse.strict.is_some(),
        };
        self.push(step, action, Some(on_failure), state, to);
        Some(())
    }

    /// Returns the span that defines a field's name: in the schema or signature, or in the pattern whose group gives
    /// the field.
    fn named_by(&mut self, field: &FieldType, step: Span) -> Span {
        let in_pattern = step.contains(field.span);
        if !in_pattern {
            return field.span;
        }
        let group = self.checker.files.text(field.span).find(&format!("<{}>", field.name));
        let span = group.map_or(field.span, |start| {
            let start = field.span.start + start as u32 + 1;
            Span { start, end: start + field.name.len() as u32, ..field.span }
        });
        self.checker.notes.definitions.column(&Name { text: field.name.as_ref().into(), span }, step);
        span
    }

    /// Returns the handling of an event whose body cannot be parsed.
    fn parse_failure(&mut self, step: &Step, parse: &Parse) -> Option<OnFailure> {
        let name = &parse.parser.function.name.text;
        match step.handler.as_ref().map(|handler| (&handler.failure, handler.span)) {
            Some((Failure::Reject, _)) => {
                self.rejecting.push(self.place(step.span));
                Some(OnFailure::Reject)
            }
            Some((Failure::Drop, _)) => Some(OnFailure::Drop),
            Some((Failure::Value(value), _)) => {
                let (expected, found) = ("`reject` or `drop`".to_owned(), "a value".to_owned());
                let span = value.span;
                self.checker.report(WrongType::new(expected, found, span));
                None
            }
            None => {
                let reason = format!("not every body is {name}");
                let end = Some(self.end(step));
                self.checker.report(CanFail { text: String::new(), reason, span: step.span, end });
                None
            }
        }
    }

    fn body(&mut self, parse: &Parse, state: &State) -> Option<()> {
        let span = parse.parser.function.span();
        let Some(body) = state.columns.columns.get(BODY) else {
            if !state.columns.lacks(BODY) {
                return None;
            }
            let missing = no_such_column(BODY.to_owned(), span, &state.columns);
            self.checker.report(missing);
            return None;
        };
        if body.value_type != Type::Bytes || body.optional {
            let (expected, found) = ("body of Bytes".to_owned(), body.value_type.named(body.optional));
            let declared = Some((format!("`body` is {found}"), body.declared));
            self.checker.report(WrongType::new(expected, found, span).declared(declared));
            return None;
        }
        Some(())
    }

    fn parser(&mut self, parse: &Parse) -> Option<&'c Parser> {
        let path = &parse.parser.function;
        let library = self.checker.library;
        let found = library.parsers.get(&*path.name.text).filter(|_| path.qualifier.is_none());
        if found.is_none() {
            let span = path.span();
            let name = self.checker.files.text(span).to_owned();
            let near = library.nearest(&name, library.parsers.keys().map(AsRef::as_ref)).map(str::to_owned);
            self.checker.report(UnknownName { name, wanted: "parser", near, quote: false, span });
        }
        if let Some(parser) = found {
            self.checker.uses(Mention::of_path(path), parser.name.span);
        }
        found
    }

    fn parser_settings(&mut self, parser: &Parser, parse: &Parse) -> Option<BTreeMap<String, Value>> {
        let span = parse.parser.function.span();
        let mut names = parser.group.settings.iter().map(|setting| &setting.name.text);
        let mut entries = Vec::new();
        for argument in &parse.parser.arguments {
            let name = match &argument.name {
                Some(name) => name.clone(),
                None => match names.next() {
                    Some(text) => Name { text: text.clone(), span: argument.value.span },
                    None => {
                        let usage = usage(parser);
                        let reason = format!("takes {} settings", parser.group.settings.len());
                        let (name, declared) = (parser.name.text.to_string(), Some(parser.name.span));
                        let span = argument.value.span;
                        self.checker.report(WrongArguments { name, reason, span, usage, declared });
                        return None;
                    }
                },
            };
            entries.push(Entry { name, value: argument.value.clone() });
        }
        let owner = Owner { words: format!("the parser {}", parser.name.text), span };
        let block = Block { span, entries, broken: false };
        let settings = self.checker.group(&parser.group, &block, &owner);
        let values = settings.planned();
        self.checker.notes.parsers.insert((span, self.checker.current_use), settings);
        values
    }

    fn fields(
        &mut self,
        parser: &Parser,
        parse: &Parse,
        settings: Option<&BTreeMap<String, Value>>,
    ) -> Option<Vec<FieldType>> {
        let (name, declared) = (parser.name.text.to_string(), parser.name.span);
        let place = parse.parser.function.span();
        if let Some(path) = &parse.schema {
            if parser.class == ParserClass::Fixed {
                self.checker.report(NeedsSchema {
                    parser: name,
                    missing: false,
                    span: path.span(),
                    declared,
                });
                return None;
            }
            let named = self.checker.scopes.path(path);
            return match named.map(|named| named.meaning) {
                Some(Meaning::Schema(schema)) => {
                    self.checker.uses(Mention::of_path(path), schema.name.span);
                    let fields = self.checker.schema_type(schema).map(|schema| schema.fields.clone())?;
                    self.single_values(parser, path.span(), &fields);
                    if let (ParserClass::Groups, Some(settings)) = (parser.class, settings) {
                        self.groups_fill(parser, parse, settings, &fields);
                    }
                    Some(fields)
                }
                Some(Meaning::Broken) => None,
                other => {
                    self.not_found(path, "schema", other, |meaning| matches!(meaning, Meaning::Schema(_)));
                    None
                }
            };
        }
        match parser.class {
            ParserClass::Typed => {
                self.checker.report(NeedsSchema { parser: name, missing: true, span: place, declared });
                None
            }
            ParserClass::Fixed => Some(parser.emits.iter().map(field_of).collect()),
            ParserClass::Groups => {
                let pattern = pattern(parser, settings?)?;
                let span = parse.parser.arguments.first().map_or(place, |argument| argument.value.span);
                let groups = regexes::groups(&pattern);
                if groups.is_empty() {
                    let expected = "pattern with named groups, as in `(?<status>\\d+)`";
                    self.wrong_pattern(expected.to_owned(), "none in it", span, None);
                    return None;
                }
                Some(groups.iter().map(|group| field_of_group(group, span)).collect())
            }
        }
    }

    /// Reports a field with parts if the parser reads a single value for each field.
    fn single_values(&mut self, parser: &Parser, span: Span, fields: &[FieldType]) {
        let Some(because) = &parser.flat else { return };
        if let Some(field) = fields.iter().find(|field| field.value_type.has_parts()) {
            self.checker.report(NestedField {
                field: field.name.to_string(),
                type_name: field.value_type.to_string(),
                by: format!("the parser {}", parser.name.text),
                reason: because.text.clone(),
                span,
                field_span: Some(field.span),
                declared: Some(because.span),
            });
        }
    }

    /// Reports a required field that no group of the pattern fills.
    fn groups_fill(
        &mut self,
        parser: &Parser,
        parse: &Parse,
        settings: &BTreeMap<String, Value>,
        fields: &[FieldType],
    ) {
        let Some(pattern) = pattern(parser, settings) else { return };
        let groups = regexes::groups(&pattern);
        let fills = |field: &FieldType| groups.iter().find(|group| *group.name == *field.name);
        let lacking =
            fields.iter().find(|field| !field.optional && !fills(field).is_some_and(|group| group.always));
        if let Some(field) = lacking {
            let found = match fills(field) {
                Some(_) => "one that need not take part",
                None => "none of this name",
            };
            let place = parse.parser.function.span();
            let span = parse.parser.arguments.first().map_or(place, |argument| argument.value.span);
            let declared = Some((format!("`{}` must have a value", field.name), field.span));
            self.wrong_pattern(format!("group `{}` in every match", field.name), found, span, declared);
        }
    }

    fn wrong_pattern(&mut self, expected: String, found: &str, span: Span, declared: Option<(String, Span)>) {
        let found = found.to_owned();
        self.checker.report(WrongType::new(expected, found, span).declared(declared));
    }
}

/// Returns the regular expression whose groups are the fields: the first setting of the parser.
fn pattern(parser: &Parser, settings: &BTreeMap<String, Value>) -> Option<String> {
    let first = parser.group.settings.first()?;
    let (Value::Regex(pattern) | Value::Text(pattern)) = settings.get(&*first.name.text)? else {
        return None;
    };
    match first.value_type {
        Type::Grok => weir_plan::grok::expand(pattern).ok(),
        _ => Some(pattern.clone()),
    }
}

fn usage(parser: &Parser) -> String {
    let settings: Vec<String> = parser
        .group
        .settings
        .iter()
        .map(|setting| format!("{}: {}", setting.name.text, setting.value_type.named(setting.optional)))
        .collect();
    format!("parse {}({})", parser.name.text, settings.join(", "))
}

fn field_of(column: &crate::signatures::ColumnSignature) -> FieldType {
    FieldType {
        name: column.name.clone(),
        span: column.span,
        value_type: column.value_type.clone(),
        optional: column.optional,
        sensitive: false,
        format: FieldFormat::Plain,
    }
}

fn field_of_group(group: &regexes::Group, span: Span) -> FieldType {
    FieldType {
        name: group.name.as_str().into(),
        span,
        value_type: Type::Text,
        optional: !group.always,
        sensitive: false,
        format: FieldFormat::Plain,
    }
}
