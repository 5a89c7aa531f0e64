//! The arguments of calls: of functions, interceptors, parsers and tables.

use weir_grammar::tree::{self, Argument, Call, ItemKind, Node, Step, StepKind, TypeName, TypeNameKind};

use crate::completion::candidate::{Candidate, CandidateKind};
use crate::completion::context::{At, MARK};
use crate::expressions::tables::LOOKUP;
use crate::names::definitions::DefinitionKind;
use crate::signatures::{FunctionSignature, ParameterSignature};
use crate::types::Type;

/// A parameter of something that is called.
struct Parameter {
    name: String,
    /// The types in the syntax of the language.
    type_name: String,
    /// The type that an argument must have; `None` if any fits, or if it is unknown.
    wanted: Option<Type>,
    /// Whether the argument is a field or a header itself instead of a value.
    is_field: bool,
}

impl At<'_> {
    /// Returns the functions that take the arguments of a call, those that fit best first.
    pub(super) fn functions_for(&self, call: &Call) -> Vec<Candidate> {
        if let Some(qualifier) = &call.function.qualifier {
            return self.named(Some(qualifier), |kind| {
                (kind == DefinitionKind::Function).then_some(CandidateKind::Function)
            });
        }
        let given: Vec<Option<Type>> =
            call.arguments.iter().map(|argument| self.type_of(argument.value.span)).collect();
        let accepts = |parameter: &ParameterSignature, given: &Option<Type>| {
            let fits = |wanted: &Type, given: &Type| match wanted {
                Type::Variable(_, bound) => bound.allows(given),
                Type::List(_) => matches!(given, Type::List(_)),
                Type::Map(_) => matches!(given, Type::Map(_)),
                wanted if wanted.is_textual() => given.is_textual(),
                wanted => wanted == given,
            };
            given.as_ref().is_none_or(|given| parameter.types.iter().any(|wanted| fits(wanted, given)))
        };
        let rank = |signature: &FunctionSignature| {
            let needed = signature.parameters.iter().filter(|parameter| parameter.default.is_none()).count();
            let count = (needed..=signature.parameters.len()).contains(&given.len());
            let names = call.arguments.iter().filter_map(|argument| argument.name.as_ref());
            let named =
                names.clone().all(|name| signature.parameters.iter().any(|own| *own.name == *name.text));
            let types = signature.parameters.iter().zip(&given).all(|(own, given)| accepts(own, given));
            u8::from(!(count && named)) * 2 + u8::from(!types)
        };
        self.functions(&rank)
    }

    /// Returns the values of an argument, and the names of the parameters that have none.
    pub(super) fn arguments(&self, call: &Call) -> Vec<Candidate> {
        let nodes = self.nodes();
        let parser = nodes.iter().any(|node| match node {
            Node::Step(Step { kind: StepKind::Parse(parse), .. }) => std::ptr::eq(&parse.parser, call),
            _ => false,
        });
        let given = |name: &str| {
            call.arguments.iter().any(|argument| argument.name.as_ref().is_some_and(|own| &*own.text == name))
        };
        if parser {
            return self.arguments_of_parser(&call.function.name.text, &given);
        }
        let parameters = self.parameters(call);
        let is_here = |argument: &Argument| {
            argument.value.span.start == self.position
                || argument.name.as_ref().is_some_and(|name| name.span.start == self.position)
        };
        let index = call.arguments.iter().position(is_here);
        let name = index.and_then(|index| call.arguments[index].name.as_ref());
        let name = name.map(|name| &*name.text).filter(|name| *name != MARK);
        let wanted = match name {
            Some(name) => parameters.iter().find(|parameter| parameter.name == name),
            None => index.and_then(|index| parameters.get(index)),
        };
        let mut found = match wanted {
            Some(parameter) if parameter.is_field => self.fields_for(parameter),
            Some(parameter) if is_lookup(call) => match parameter.name.as_str() {
                "as" => self.schemas(None),
                _ => self.constants(),
            },
            wanted => self.values_of_argument(wanted.and_then(|parameter| parameter.wanted.as_ref())),
        };
        if name.is_some() {
            return found;
        }
        let before = index.unwrap_or(call.arguments.len());
        let left =
            parameters.iter().enumerate().filter(|(at, parameter)| *at >= before && !given(&parameter.name));
        let names = left.map(|(_, parameter)| {
            Candidate::new(parameter.name.clone(), CandidateKind::Setting { required: false })
                .detail(parameter.type_name.clone())
        });
        // The names come before the long list of functions.
        let functions = found.iter().position(|known| known.kind == CandidateKind::Function);
        let place = functions.unwrap_or(found.len());
        found.splice(place..place, names);
        found
    }

    fn arguments_of_parser(&self, name: &str, given: &dyn Fn(&str) -> bool) -> Vec<Candidate> {
        let Some(parser) = self.library.parsers.get(name) else { return Vec::new() };
        let settings = parser.group.settings.iter().filter(|setting| !given(&setting.name.text));
        let settings = settings.map(|setting| {
            let required = setting.default.is_none() && !setting.optional;
            let detail = setting.value_type.named(setting.optional);
            Candidate::new(&*setting.name.text, CandidateKind::Setting { required }).detail(detail)
        });
        settings.chain(self.values_of_argument(None)).collect()
    }

    fn values_of_argument(&self, wanted: Option<&Type>) -> Vec<Candidate> {
        match self.expected() {
            Some((expected, optional)) => self.of_type(expected, *optional),
            None => self.expressions(wanted.filter(|wanted| !matches!(wanted, Type::Variable(..)))),
        }
    }

    /// Returns the fields and headers for a parameter that takes one, and the parameters that stand for one.
    fn fields_for(&self, parameter: &Parameter) -> Vec<Candidate> {
        let locals = self.locals().into_iter().filter(|local| local.kind == CandidateKind::Parameter);
        locals.chain(self.columns_for(parameter.wanted.as_ref())).collect()
    }

    /// Returns the parameters of what is called; none if it is unknown.
    fn parameters(&self, call: &Call) -> Vec<Parameter> {
        let name = &*call.function.name.text;
        if is_lookup(call) {
            return lookup_parameters();
        }
        let qualifier = call.function.qualifier.as_ref().map(|name| &*name.text);
        let definition = self.analysis.visible_names(self.file, qualifier).into_iter().find(|definition| {
            let is_called = matches!(definition.kind, DefinitionKind::Function | DefinitionKind::Interceptor);
            is_called && *definition.name == *name
        });
        let of_program = definition.and_then(|definition| {
            let items = &self.analysis.tree(definition.span.file)?.items;
            items.iter().find_map(|item| match &item.kind {
                ItemKind::Function(function) if function.name.span == definition.span => {
                    Some(&function.parameters)
                }
                ItemKind::Interceptor(interceptor) if interceptor.name.span == definition.span => {
                    Some(&interceptor.parameters)
                }
                _ => None,
            })
        });
        let is_step = self.nodes().iter().any(|node| match node {
            Node::Step(Step { kind: StepKind::Use(used), .. }) => std::ptr::eq(used, call),
            _ => false,
        });
        let of_library = self.library.interceptors.get(name).filter(|_| is_step);
        if let Some(written) = of_program.or(of_library.map(|interceptor| &interceptor.parameters)) {
            return written.iter().map(|parameter| self.written(parameter)).collect();
        }
        let signature = self.library.functions.get(name);
        let parameters = signature.iter().flat_map(|signature| &signature.parameters);
        let parameters = parameters.map(|parameter| Parameter {
            name: parameter.name.to_string(),
            type_name: parameter.type_names(),
            wanted: only(&parameter.types).cloned(),
            is_field: false,
        });
        parameters.collect()
    }

    fn written(&self, parameter: &tree::Parameter) -> Parameter {
        let types = parameter.types.iter().map(|written| self.analysis.files.text(written.span));
        let field = parameter.field.then_some("field");
        let types = types.collect::<Vec<_>>().join(" | ");
        let words = field.into_iter().chain((!types.is_empty()).then_some(types.as_str()));
        Parameter {
            name: parameter.name.text.to_string(),
            type_name: words.collect::<Vec<_>>().join(" "),
            wanted: only(&parameter.types).and_then(built_in),
            is_field: parameter.field,
        }
    }
}

/// Returns the only item.
fn only<T>(all: &[T]) -> Option<&T> {
    match all {
        [only] => Some(only),
        _ => None,
    }
}

/// Returns the built-in type of a written type.
pub(super) fn built_in(written: &TypeName) -> Option<Type> {
    match &written.kind {
        TypeNameKind::Name(path) if path.qualifier.is_none() => Type::built_in(&path.name.text),
        _ => None,
    }
}

fn is_lookup(call: &Call) -> bool {
    call.function.qualifier.is_none() && &*call.function.name.text == LOOKUP
}

/// Returns the parameters of a lookup table, which no signature has.
fn lookup_parameters() -> Vec<Parameter> {
    let parameters = [("path", "Text"), ("key", "Text"), ("as", "a schema")];
    let parameters = parameters.map(|(name, type_name)| Parameter {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        wanted: None,
        is_field: false,
    });
    parameters.into()
}
