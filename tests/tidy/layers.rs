//! Which file of a crate may know which: rooms that know only the rooms before them, and in the compiler no circle of
//! files.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

use crate::Fault;

/// The rooms of a crate. `ARCHITECTURE.md` says what each does.
#[derive(Clone, Copy)]
pub(crate) struct House {
    /// Where the crate's sources are, with a slash at the end.
    pub(crate) folder: &'static str,
    /// From the ground up: a folder or a file there may use those before it, and a file that is named apart from its
    /// folder is a room of its own.
    rooms: &'static [&'static str],
    /// Stand beside the rooms and may use all of them, as tests may.
    above: &'static [&'static str],
    /// Whether files of one room may use each other in a circle.
    circles: bool,
}

pub(crate) const HOUSES: [House; 2] = [
    House {
        folder: "compiler/src/",
        rooms: &[
            "diagnostics",
            "options",
            "spelling",
            "files",
            "types",
            "names",
            "signatures",
            "analysis",
            "checker",
            "values",
            "expressions",
            "steps",
            "flows",
            "typing",
            "proofs",
            "program_tests",
            "library",
            "plans",
            "format",
            "render",
            "analyse",
            "lowering",
            "compile",
        ],
        above: &["fixes", "lib"],
        circles: false,
    },
    House {
        folder: "stdlib/src/",
        rooms: &["library", "language", "tools::buffers", "formats", "tools", "components"],
        above: &["lib"],
        circles: true,
    },
];

/// The modules that each module uses, by their paths from the crate's root (`flows::graph`).
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Checks the files of a house, each with its path and its text.
pub(crate) fn check(house: &House, files: &BTreeMap<String, String>) -> Vec<Fault> {
    let folder = house.folder;
    let uses = uses(folder, files);
    let path_of = |module: &str| {
        let names = module.replace("::", "/");
        let paths = [format!("{folder}{names}.rs"), format!("{folder}{names}/mod.rs")];
        paths.into_iter().find(|path| files.contains_key(path)).unwrap_or_else(|| format!("{folder}lib.rs"))
    };
    let mut faults = Vec::new();
    if let Some(circle) = circle(&uses).filter(|_| !house.circles) {
        let what = format!("a circle of files: {}", circle.join(" -> "));
        faults.push(Fault::new(&path_of(&circle[0]), 1, what));
    }
    for (module, used) in &uses {
        let room = room(house, module);
        if house.above.contains(&room) || module.split("::").any(|part| part == "tests") {
            continue;
        }
        let Some(place) = house.rooms.iter().position(|known| *known == room) else {
            faults.push(Fault::new(
                &path_of(module),
                1,
                format!("`{room}` is no room of tests/tidy/rooms.rs"),
            ));
            continue;
        };
        for other in used.iter().filter(|other| self::room(house, other) != room) {
            if !house.rooms[..place].contains(&self::room(house, other)) {
                faults.push(Fault::new(&path_of(module), 1, format!("`{room}` must not know `{other}`")));
            }
        }
    }
    faults
}

/// The room of a module: the listed one that is named most closely, or the first part of its path.
fn room<'m>(house: &House, module: &'m str) -> &'m str {
    let within = |room: &&&str| {
        module.strip_prefix(**room).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let listed = house.rooms.iter().filter(within).map(|room| room.len()).max();
    let first = module.split("::").next().unwrap_or_default();
    if first.is_empty() { "lib" } else { &module[..listed.unwrap_or(first.len())] }
}

fn module_of(folder: &str, path: &str) -> String {
    let name = path.strip_prefix(folder).unwrap_or(path).trim_end_matches(".rs").trim_end_matches("/mod");
    if name == "lib" { String::new() } else { name.replace('/', "::") }
}

fn uses(folder: &str, files: &BTreeMap<String, String>) -> Uses {
    let mut mentions: BTreeMap<String, Mentions> = BTreeMap::new();
    for (path, text) in files {
        let module = module_of(folder, path);
        let mut found = Mentions { module: module.clone(), ..Mentions::default() };
        // What is no Rust is said by another check.
        if let Ok(file) = syn::parse_file(text) {
            found.visit_file(&file);
        }
        mentions.insert(module, found);
    }
    let resolved = |module: &str, path: &[String]| -> Option<String> {
        let parents = (0..=path.len()).rev().map(|length| (path[..length].join("::"), &path[length..]));
        let (found, rest) = parents.into_iter().find(|(parent, _)| mentions.contains_key(parent))?;
        // A name that a folder hands on belongs to the file that it comes from.
        let handed_on = rest.first().and_then(|name| mentions[&found].handed_on.get(name));
        let found = handed_on.filter(|other| mentions.contains_key(*other)).unwrap_or(&found);
        (found != module).then(|| found.clone())
    };
    let of = |(module, found): (&String, &Mentions)| {
        (module.clone(), found.paths.iter().filter_map(|path| resolved(module, path)).collect())
    };
    mentions.iter().map(of).collect()
}

/// The paths that a file mentions, from the crate's root.
#[derive(Default)]
struct Mentions {
    module: String,
    paths: Vec<Vec<String>>,
    /// The names that the file hands on, each with the module that it comes from.
    handed_on: BTreeMap<String, String>,
}

impl Mentions {
    /// The path from the crate's root; none if it begins outside of the crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let own = || self.module.split("::").filter(|part| !part.is_empty()).map(str::to_owned);
        let mut absolute: Vec<String> = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => own().collect(),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let own: Vec<String> = own().collect();
                own[..own.len().saturating_sub(ups)].to_vec()
            }
            _ => return None,
        };
        let rest = path.iter().skip_while(|part| ["crate", "self", "super"].contains(&part.as_str()));
        absolute.extend(rest.cloned());
        Some(absolute)
    }

    fn tree(&mut self, before: &[String], tree: &UseTree, hands_on: bool) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&with(path.ident.to_string()), &path.tree, hands_on),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item, hands_on)),
            UseTree::Name(name) => self.found(with(name.ident.to_string()), hands_on),
            UseTree::Rename(rename) => self.found(with(rename.ident.to_string()), hands_on),
            UseTree::Glob(_) => self.found(before.to_vec(), hands_on),
        }
    }

    fn found(&mut self, path: Vec<String>, hands_on: bool) {
        match (self.absolute(&path), hands_on) {
            (Some(path), false) => self.paths.push(path),
            (absolute, true) => {
                let child = || [self.module.clone(), path[0].clone()].join("::");
                let from = absolute.map_or_else(child, |path| path[..path.len() - 1].join("::"));
                let name = path.last().cloned().unwrap_or_default();
                self.handed_on.insert(name, from.trim_start_matches("::").to_owned());
            }
            (None, false) => {}
        }
    }
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(ItemMod { attrs, .. }) | Item::Use(ItemUse { attrs, .. }) if is_for_tests(attrs) => {}
            item => visit::visit_item(self, item),
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&[], &item.tree, !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if parts.len() > 1 && ["crate", "super"].contains(&parts[0].as_str()) {
            self.found(parts, false);
        }
        visit::visit_path(self, path);
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_test =
        |attribute: &Attribute| attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test");
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") && is_test(attribute))
}

/// Modules each of which uses the next one, and the last one the first.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    fn walk<'u>(
        uses: &'u Uses,
        module: &'u str,
        way: &mut Vec<&'u str>,
        done: &mut BTreeSet<&'u str>,
    ) -> bool {
        if done.contains(module) {
            return false;
        }
        let before = way.iter().position(|passed| *passed == module);
        way.push(module);
        if let Some(before) = before {
            way.drain(..before);
            return true;
        }
        let used = uses.get(module).into_iter().flatten();
        if used.into_iter().any(|next| walk(uses, next, way, done)) {
            return true;
        }
        way.pop();
        done.insert(module);
        false
    }
    let (mut way, mut done) = (Vec::new(), BTreeSet::new());
    let found = uses.keys().any(|module| walk(uses, module, &mut way, &mut done));
    found.then(|| way.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(path, text)| (format!("c/{path}"), (*text).to_owned())).collect();
        check(&House { folder: "c/", ..HOUSES[0] }, &files).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_circle_is_found_whatever_it_leads_through() {
        let found = faults(&[
            (
                "flows/mod.rs",
                "pub(crate) mod graph;\npub(crate) use graph::Edge;\nfn f() { crate::steps::g() }",
            ),
            ("flows/graph.rs", "use super::f; pub struct Edge;"),
            ("steps.rs", "use crate::flows::Edge;"),
        ]);
        assert!(found[0].contains("a circle of files"), "{found:?}");
        for name in ["flows", "flows::graph", "steps"] {
            assert!(found[0].contains(name), "{found:?}");
        }
    }

    #[test]
    fn what_a_folder_hands_on_and_what_tests_use_is_no_circle() {
        let found = faults(&[
            ("values/mod.rs", "pub(crate) mod texts;\npub(crate) use texts::check;"),
            ("values/texts.rs", "use super::value; #[cfg(test)] mod tests { use crate::steps::Step; }"),
            ("steps.rs", "use crate::values::check; use std::fmt;"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_file_may_be_a_room_apart_from_its_folder() {
        let rooms: &[&str] = &["tools::buffers", "formats", "tools"];
        let house = House { folder: "c/", rooms, above: &[], circles: true };
        let files = [
            ("tools/buffers.rs", "use crate::formats::Format;"),
            ("formats.rs", "use crate::tools::buffers::Buffers; use crate::tools::lines::Line;"),
            ("tools/lines.rs", "use crate::formats::Format;"),
            ("tools/tests.rs", "use crate::attic::Box;"),
            ("attic.rs", "use crate::tools::lines::Line;"),
        ];
        let files = files.map(|(path, text)| (format!("c/{path}"), text.to_owned())).into();
        let found: Vec<String> = check(&house, &files).iter().map(Fault::to_string).collect();
        assert_eq!(
            found,
            [
                "c/attic.rs:1: `attic` is no room of tests/tidy/rooms.rs",
                "c/formats.rs:1: `formats` must not know `tools::lines`",
                "c/tools/buffers.rs:1: `tools::buffers` must not know `formats`",
            ]
        );
    }

    #[test]
    fn a_room_may_not_know_a_later_one() {
        let found =
            faults(&[("names/uses.rs", "use crate::steps::Step;"), ("steps.rs", ""), ("attic.rs", "")]);
        assert_eq!(
            found,
            [
                "c/attic.rs:1: `attic` is no room of tests/tidy/rooms.rs",
                "c/names/uses.rs:1: `names` must not know `steps`"
            ]
        );
    }
}
