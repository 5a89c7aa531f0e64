//! The content of an analysis: names, types, settings and events, at every place and for every use.

use weir_compiler::analysis::{Analysis, DefinitionKind, Destination, Origin, Type, UseId};
use weir_compiler::{Library, Options, analyse, lower, render};
use weir_grammar::{FileId, Span};
use weir_plan::Value;

use crate::fixtures::{Fixture, library_with, options_in};
use crate::right_programs;

const NAME: &str = "main.flow";

const RIGHT: &str = r#"
param limit: Int = 3
param topic: Text = "none"
let greeting = "hello {topic}"

/// A click.
schema Click {
  /// Where.
  url: Text
  user: Text?
  visits: Int
}

source app = files { paths: ["/app.log"], batch: 10 }
channel buffer = memory { capacity: 20_000 * limit }
sink out = files { path: "/out/{address}", format: json { headers: [@file] } }
sink other = stdout {}
source direct = generate {}

fn doubled(number: Int) -> Int {
  (number * 2 else 0)
}

flow clicks {
  app
    -> parse json as Click else drop
    -> keep if user is not null
    -> let known = lower(user)
    -> set greeted = greeting
    -> set visits = doubled(number: visits)
    -> drop if known == "x"
    -> rename url to address
    -> buffer
    -> keep if visits > 1
    -> out
}
flow rest { direct -> other }
"#;

/// An analysis with the text of its program.
struct Analysed {
    text: String,
    analysis: Analysis,
}

impl Analysed {
    fn new(text: &str) -> Analysed {
        let library = library_with(None);
        let mut options = Options::default();
        options.params.insert("topic".to_owned(), "clicks".to_owned());
        if !text.contains("param topic") {
            options.params.clear();
        }
        let analysis = analyse(&(NAME, text), NAME, &library, &options);
        Analysed { text: text.to_owned(), analysis }
    }

    /// Returns the file of the program.
    fn file(&self) -> FileId {
        (0..).map(FileId).find(|file| self.analysis.tree(*file).is_some()).unwrap()
    }

    /// Returns the position in the program of the mark `¦` of a text, which must occur in the program exactly once.
    fn position(&self, marked: &str) -> u32 {
        let (before, _) = marked.split_once('¦').unwrap();
        let plain = marked.replace('¦', "");
        assert_eq!(self.text.matches(&plain).count(), 1, "{plain} stands there once");
        (self.text.find(&plain).unwrap() + before.len()) as u32
    }

    fn text(&self, span: Span) -> &str {
        self.analysis.files.text(span)
    }

    /// Returns the definitions of the name at a mark: the kind and the text of each declaration.
    fn definitions(&self, marked: &str) -> Vec<(DefinitionKind, &str)> {
        let found = self.analysis.definitions_at(self.file(), self.position(marked));
        found.iter().map(|definition| (definition.kind, self.text(definition.whole))).collect()
    }

    /// Returns the lines that use the definition at a mark.
    fn references(&self, marked: &str) -> Vec<&str> {
        let found = self.analysis.definitions_at(self.file(), self.position(marked));
        let [definition] = found.as_slice() else { panic!("{found:?}") };
        let line = |span: Span| {
            let start = self.text[..span.start as usize].rfind('\n').map_or(0, |end| end + 1);
            self.text[start..].lines().next().unwrap().trim()
        };
        self.analysis.references(definition).map(line).collect()
    }

    /// Returns the types of the smallest expression at a mark, for each use.
    fn types(&self, marked: &str) -> Vec<String> {
        let expression = self.analysis.expression_at(self.file(), self.position(marked)).unwrap();
        let uses = self.analysis.uses_of(expression);
        let types = uses.map(|used| {
            let types = self.analysis.types(expression, used).unwrap();
            let shown = types.iter().map(|found| {
                let fails = if found.fails { " fails" } else { "" };
                format!("{}{}{fails}", found.value_type, if found.optional { "?" } else { "" })
            });
            let shown: Vec<String> = shown.collect();
            if shown.is_empty() { "unknown".to_owned() } else { shown.join(" | ") }
        });
        types.collect()
    }

    /// Returns the fields of the events before and after the place at a mark, without headers.
    fn events(&self, marked: &str) -> (Option<Vec<String>>, Option<Vec<String>>) {
        let place = self.analysis.place_at(self.file(), self.position(marked)).unwrap();
        let events = self.analysis.events(place, UseId::NONE).unwrap();
        let shown = |columns: &weir_compiler::analysis::Columns| {
            let fields =
                columns.columns.iter().filter(|(name, _)| !name.starts_with(['@']) && &***name != "headers");
            let fields = fields.map(|(name, column)| {
                format!("{name}: {}{}", column.value_type, if column.optional { "?" } else { "" })
            });
            let lost = columns.lost.then(|| "and unknown ones".to_owned());
            fields.chain(lost).collect::<Vec<String>>()
        };
        (events.before.as_deref().map(shown), events.after.as_deref().map(shown))
    }
}

#[test]
fn the_right_program_is_right() {
    let Analysed { analysis, .. } = Analysed::new(RIGHT);
    let said = render::human(&analysis.diagnostics, &analysis.files, false);
    assert!(analysis.diagnostics.is_empty(), "{said}");
    assert_eq!(lower(&analysis).unwrap().program, "main");
}

#[test]
fn every_name_leads_to_its_definition() {
    let program = Analysed::new(RIGHT);
    use DefinitionKind::{
        Column, Component, Field, Function, Kind, Let, Local, Param, Parameter, Schema, Setting,
    };
    use weir_grammar::tree::Role::{Channel, Source};
    assert_eq!(program.definitions("20_000 * ¦limit"), [(Param, "param limit: Int = 3")]);
    assert_eq!(program.definitions("greeted = gree¦ting"), [(Let, "let greeting = \"hello {topic}\"")]);
    assert_eq!(program.definitions("hello {¦topic}"), [(Param, "param topic: Text = \"none\"")]);
    assert_eq!(program.definitions("json as ¦Click")[0].0, Schema);
    assert_eq!(program.definitions("keep if ¦user is"), [(Field, "user: Text?")]);
    assert_eq!(program.definitions("rename ¦url to"), [(Field, "url: Text")]);
    assert_eq!(program.definitions("/out/{¦address}"), [(Column, "rename url to address")]);
    assert_eq!(program.definitions("drop if ¦known =="), [(Local, "let known = lower(user)")]);
    assert_eq!(program.definitions("¦doubled(number: visits)")[0].0, Function);
    assert_eq!(program.definitions("doubled(¦number: visits)"), [(Parameter, "number: Int")]);
    assert_eq!(program.definitions("-> ¦buffer\n")[0].0, Component(Channel));
    assert_eq!(program.definitions("  ¦app\n")[0].0, Component(Source));
    // Names of the library have their definitions in the text of the library.
    assert_eq!(program.definitions("buffer = ¦memory")[0].0, Kind(Channel));
    assert_eq!(program.definitions("memory { ¦capacity"), [(Setting, "capacity: Int")]);
    assert_eq!(program.definitions("known = ¦lower(")[0].0, Function);
    // A name at its declaration is its own definition.
    assert_eq!(program.definitions("schema ¦Click")[0].0, Schema);
    let documented = program.analysis.definitions_at(program.file(), program.position("rename ¦url to"));
    assert_eq!(&*documented[0].documentation, "Where.");
}

#[test]
fn every_definition_knows_its_uses() {
    let program = Analysed::new(RIGHT);
    assert_eq!(program.references("param ¦limit"), ["channel buffer = memory { capacity: 20_000 * limit }"]);
    assert_eq!(program.references("param ¦topic"), ["let greeting = \"hello {topic}\""]);
    assert_eq!(program.references("channel ¦buffer"), ["-> buffer"]);
    assert_eq!(
        program.references("url to ¦address"),
        ["sink out = files { path: \"/out/{address}\", format: json { headers: [@file] } }"]
    );
    let visits = ["-> set visits = doubled(number: visits)", "-> set visits = doubled(number: visits)"];
    assert_eq!(program.references("¦visits: Int"), [&visits[..], &["-> keep if visits > 1"]].concat());
    assert_eq!(program.references("source ¦direct"), ["flow rest { direct -> other }"]);
}

#[test]
fn every_expression_has_a_type() {
    let program = Analysed::new(RIGHT);
    assert_eq!(program.types("keep if ¦user is"), ["Text?"]);
    assert_eq!(program.types("lower(¦user)"), ["Text"]);
    assert_eq!(program.types("keep if user ¦is not"), ["Bool"]);
    assert_eq!(program.types("(¦number * 2"), ["Int"]);
    assert_eq!(program.types("number ¦* 2"), ["Int fails"]);
    assert_eq!(program.types("20_000 ¦* limit"), ["Int"]);
    assert_eq!(program.types("paths: [¦\"/app"), ["Glob"]);
    assert_eq!(program.types("\"/¦out/"), ["Template"]);
}

#[test]
fn every_setting_says_where_its_value_comes_from() {
    let program = Analysed::new(RIGHT);
    let analysis = &program.analysis;
    let setting = |component: &str, name: &str| {
        let found = analysis.component(component).unwrap().settings.get(name).unwrap();
        (found.value.clone().unwrap(), found.origin)
    };
    let written = |origin| match origin {
        Origin::Written(span) => program.text(span).to_owned(),
        other => panic!("{other:?}"),
    };
    let (value, origin) = setting("buffer", "capacity");
    assert_eq!((value, written(origin)), (Value::Int(60_000), "20_000 * limit".to_owned()));
    let (value, origin) = setting("buffer", "keep_alive");
    let Origin::Default(span) = origin else { panic!("{origin:?}") };
    assert_eq!((value.to_string(), program.text(span)), ("3s".to_owned(), "3s"));
    let (_, origin) = setting("out", "format.headers");
    assert_eq!(written(origin), "[@file]");
    let (_, origin) = setting("direct_to_other", "capacity");
    assert_eq!(origin, Origin::Implicit);
    let absent = &analysis.component("app").unwrap().settings;
    assert!(
        absent.iter().any(|setting| setting.origin == Origin::Absent && setting.value == Some(Value::Null))
    );
    let values: Vec<_> =
        analysis.params.values().map(|param| (param.value.clone().unwrap(), param.origin)).collect();
    let [(limit, Origin::Default(_)), (topic, Origin::Written(outside))] = values.as_slice() else {
        panic!("{values:?}")
    };
    assert_eq!((limit, topic.to_string()), (&Value::Int(3), "\"clicks\"".to_owned()));
    assert_eq!(analysis.files.name(*outside), "--set topic");
}

#[test]
fn every_place_of_a_flow_knows_its_events() {
    let program = Analysed::new(RIGHT);
    let some = |columns: &[&str]| Some(columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>());
    assert_eq!(program.events("  ¦app\n"), (None, some(&["body: Bytes"])));
    let click = some(&["url: Text", "user: Text?", "visits: Int"]);
    assert_eq!(program.events("parse json ¦as"), (some(&["body: Bytes"]), click.clone()));
    assert_eq!(
        program.events("keep if user ¦is"),
        (click, some(&["url: Text", "user: Text", "visits: Int"]))
    );
    let last = some(&["address: Text", "greeted: Text", "user: Text", "visits: Int"]);
    assert_eq!(program.events("-> ¦buffer"), (last.clone(), last.clone()));
    assert_eq!(program.events("-> ¦out"), (last, None));
}

#[test]
fn the_graph_is_resolved() {
    let Analysed { analysis, .. } = Analysed::new(RIGHT);
    let name = |index: usize| analysis.graph.components[index].declared.name.to_string();
    let ways = analysis.graph.edges.iter().map(|edge| {
        let Destination::Component(arrival) = &edge.leg.to else { panic!("{:?}", edge.leg.to) };
        (name(edge.from), edge.leg.steps.len(), arrival.channel.map(name), name(arrival.to))
    });
    let way = |from: &str, steps, channel: Option<&str>, to: &str| {
        (from.to_owned(), steps, channel.map(str::to_owned), to.to_owned())
    };
    assert_eq!(
        ways.collect::<Vec<_>>(),
        [
            way("app", 7, None, "buffer"),
            way("buffer", 1, None, "out"),
            way("direct", 0, Some("direct_to_other"), "other"),
        ]
    );
}

#[test]
fn a_broken_program_has_an_analysis_with_its_unknown_parts_marked() {
    let program = Analysed::new(
        r#"
schema Click { url: Text, visits: Int }
source app = files { paths: ["/app.log"], batch: "many" }
source nothing = nonsense {}
channel buffer = memory {}
sink out = stdout {}

flow clicks {
  app
    -> parse json as Click else drop
    -> set wrong = length(visits) + 1
    -> set right = visits
    -> keep if wrong > 2
    -> missing
  nothing -> keep if visits > 3 -> buffer -> out
}
"#,
    );
    let analysis = &program.analysis;
    assert!(analysis.has_errors());
    assert!(lower(analysis).is_none());
    let app = analysis.component("app").unwrap();
    assert_eq!(app.settings.get("batch").unwrap().value, None);
    assert!(matches!(app.settings.get("batch").unwrap().origin, Origin::Written(_)));
    assert!(app.settings.get("paths").unwrap().value.is_some(), "the other settings are known");
    assert_eq!(analysis.component("nothing").unwrap().kind(), None);
    assert_eq!(program.types("length(¦visits)"), ["Int"]);
    assert_eq!(program.types("length(visits) ¦+ 1"), ["unknown"]);
    assert_eq!(program.types("keep if ¦wrong > 2"), ["unknown"]);
    let (_, behind) = program.events("set ¦right");
    assert_eq!(behind.unwrap(), ["right: Int", "url: Text", "visits: Int"]);
    let place = analysis.place_at(program.file(), program.position("set ¦wrong")).unwrap();
    let events = analysis.events(place, UseId::NONE).unwrap();
    assert!(events.after.as_ref().unwrap().broken.contains("wrong"));
    assert_eq!(program.events("keep if visits ¦> 3"), (None, None));
    assert_eq!(program.events("-> ¦buffer"), (None, None));
    let unknown = analysis.graph.edges.iter().filter(|edge| !edge.leg.whole).count();
    assert_eq!((unknown, analysis.graph.edges.len()), (3, 3));
    assert_eq!(program.definitions("wrong = length(¦visits)")[0].0, DefinitionKind::Field);
    assert_eq!(program.references("sink ¦out"), ["nothing -> keep if visits > 3 -> buffer -> out"]);
}

#[test]
fn a_text_that_can_not_be_read_has_an_analysis() {
    let analysis = analyse(&(NAME, ""), "other.flow", &library_with(None), &Options::default());
    assert_eq!(analysis.diagnostics.len(), 1);
    assert!(lower(&analysis).is_none());
    let empty = Analysed::new("").analysis;
    assert!(empty.diagnostics.is_empty() && empty.graph.components.is_empty());
    assert!(lower(&empty).unwrap().flows.is_empty());
}

#[test]
fn an_interceptor_is_known_at_each_of_its_uses() {
    let program = Analysed::new(
        r#"
schema Number { value: Int }
schema Word { value: Text? }
interceptor kept_apart() { set kept = value }
interceptor twice() { kept_apart() }
quality there { value is not null }
source numbers = files { paths: ["/numbers"] }
source words = files { paths: ["/words"] }
sink first = stdout { format: json }
sink second = stdout { format: json }

flow main {
  numbers -> parse json as Number else drop -> kept_apart() -> first
  words -> parse json as Word else drop -> twice() -> check there -> second
  rejects -> drop if step == "" -> second
}
"#,
    );
    let analysis = &program.analysis;
    let said = render::human(&analysis.diagnostics, &analysis.files, false);
    assert!(!analysis.has_errors(), "{said}");
    assert_eq!(program.types("kept = ¦value"), ["Int", "Text?"]);
    assert_eq!(program.types("there { ¦value is"), ["Text?"]);
    let mut fields = program.definitions("kept = ¦value");
    fields.sort_unstable();
    let field = |text| (DefinitionKind::Field, text);
    assert_eq!(fields, [field("value: Int"), field("value: Text?")]);
    let step = analysis.place_at(program.file(), program.position("set ¦kept")).unwrap();
    let uses: Vec<UseId> =
        analysis.all_events().filter(|(place, ..)| *place == step).map(|(_, used, _)| used).collect();
    let [first, second] = uses.as_slice() else { panic!("{uses:?}") };
    let kept = |used| {
        let events = analysis.events(step, used).unwrap();
        events.after.as_ref().unwrap().columns["kept"].value_type.clone()
    };
    assert_eq!([kept(*first), kept(*second)], [Type::Int, Type::Text]);
    let used = analysis.use_of(*second).unwrap();
    assert_eq!(program.text(used.of), "kept_apart");
    let outer = analysis.use_of(used.within).unwrap();
    assert_eq!((program.text(outer.of), program.text(outer.at)), ("twice", "twice()"));
    assert_eq!(outer.within, UseId::NONE);
}

#[test]
fn an_interceptor_that_nothing_uses_is_known_by_itself() {
    let program = Analysed::new(
        "interceptor idle(who: field Text, most: Int) { set size = length(who) + most else 0\nkeep if @any > 1 }\n",
    );
    assert_eq!(program.types("length(¦who)"), ["Text"]);
    assert_eq!(program.types("+ ¦most"), ["Int"]);
    assert_eq!(program.types("¦@any"), ["unknown"]);
    assert_eq!(program.definitions("length(¦who)")[0].0, DefinitionKind::Parameter);
    let (_, behind) = program.events("set ¦size");
    assert!(behind.unwrap().contains(&"and unknown ones".to_owned()));
}

/// Returns the complete content of an analysis, as text.
fn everything(analysis: &Analysis) -> String {
    let names = analysis.definitions().map(|definition| {
        format!("{definition:?} {:?}", analysis.references(definition).collect::<Vec<_>>())
    });
    let events = analysis.all_events().map(|place| format!("{place:?}"));
    let names: Vec<String> = names.chain(events).collect();
    format!("{names:?} {:?} {:?} {:?}", analysis.graph, analysis.params, analysis.agent)
}

fn analysed(program: &Fixture, library: &Library) -> Analysis {
    analyse(program, &program.file_name(), library, &options_in(&program.text))
}

#[test]
fn the_same_text_has_the_same_analysis() {
    for program in right_programs().iter().chain(&Fixture::all("wrong")) {
        let library = program.library();
        let (first, second) = (analysed(program, &library), analysed(program, &library));
        assert_eq!(everything(&first), everything(&second), "{}", program.name);
    }
}

#[test]
fn of_a_right_program_nothing_is_unknown() {
    for program in right_programs() {
        let analysis = analysed(&program, &program.library());
        for (place, used, events) in analysis.all_events() {
            let known = events.before.is_some() || events.after.is_some();
            assert!(known, "{}: {:?} at {used:?}", program.name, analysis.files.text(place));
        }
        for (place, used, types) in analysis.all_types() {
            assert!(!types.is_empty(), "{}: {:?} at {used:?}", program.name, analysis.files.text(place));
        }
        assert!(analysis.graph.edges.iter().all(|edge| edge.leg.whole), "{}", program.name);
        let settings = analysis.graph.components.iter().flat_map(|component| component.settings.iter());
        assert!(settings.clone().count() > 0 && settings.clone().all(|setting| setting.value.is_some()));
    }
}

#[test]
fn every_use_is_the_name_of_a_definition() {
    for program in right_programs().iter().chain(&Fixture::all("wrong")) {
        let analysis = analysed(program, &program.library());
        for (place, definition) in analysis.all_uses() {
            let at = format!("{}: {:?}", program.name, analysis.files.text(place));
            assert!(analysis.definition(definition).is_some(), "{at} has a definition");
        }
    }
}
