//! Checks the layers of a crate: a module may use only modules of lower layers, and in the compiler no files may use each
//! other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

use crate::Fault;

/// The layers of a crate. `ARCHITECTURE.md` describes them.
#[derive(Clone, Copy)]
pub(crate) struct LayeredCrate {
    /// The folder of the crate's sources, with a slash at the end.
    pub(crate) folder: &'static str,
    /// Folders and files, from the lowest layer up: each may use the layers before it. A file that is listed apart from its
    /// folder is its own layer.
    layers: &'static [&'static str],
    /// Modules that may use all layers. Tests may do so too.
    above: &'static [&'static str],
    /// Whether files of one layer may use each other in a circle.
    circles: bool,
}

pub(crate) const LAYERED_CRATES: [LayeredCrate; 3] = [
    LayeredCrate {
        folder: "compiler/src/",
        layers: &[
            "spelling",
            "diagnostics",
            "options",
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
            "access",
            "differences",
            "format",
            "render",
            "analyse",
            "unsupported",
            "lowering",
            "completion",
        ],
        above: &["fixes", "lib"],
        circles: false,
    },
    LayeredCrate {
        folder: "runtime/src/",
        layers: &[
            "losses",
            "failure",
            "environment",
            "batch",
            "observability::log_limit",
            "observability::meter",
            "expressions",
            "parsers",
            "steps",
            "routing::acknowledgement",
            "channel",
            "observability",
            "routing",
            "source",
            "sink",
            "previews",
            "registry",
            "agent",
        ],
        above: &["lib"],
        circles: true,
    },
    LayeredCrate {
        folder: "stdlib/src/",
        layers: &[
            "library",
            "state_directory",
            "language",
            "tools::buffers",
            "formats",
            "tools",
            "language::functions",
            "components",
        ],
        above: &["lib"],
        circles: true,
    },
];

/// The modules that each module uses, by their paths from the crate's root (`flows::graph`).
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Checks the files of a crate, a map from paths to texts.
pub(crate) fn check(layers: &LayeredCrate, files: &BTreeMap<String, String>) -> Vec<Fault> {
    let folder = layers.folder;
    let uses = uses(folder, files);
    let path_of = |module: &str| {
        let names = module.replace("::", "/");
        let paths = [format!("{folder}{names}.rs"), format!("{folder}{names}/mod.rs")];
        paths.into_iter().find(|path| files.contains_key(path)).unwrap_or_else(|| format!("{folder}lib.rs"))
    };
    let mut faults = Vec::new();
    if let Some(circle) = circle(&uses).filter(|_| !layers.circles) {
        let message = format!("a circle of files: {}", circle.join(" -> "));
        faults.push(Fault::new(&path_of(&circle[0]), 1, message));
    }
    for (module, used) in &uses {
        let layer = layer_of(layers, module);
        if layers.above.contains(&layer) || module.split("::").any(|part| part == "tests") {
            continue;
        }
        let Some(height) = layers.layers.iter().position(|listed| *listed == layer) else {
            faults.push(Fault::new(
                &path_of(module),
                1,
                format!("`{layer}` is no layer of tests/tidy/layers.rs"),
            ));
            continue;
        };
        for other in used.iter().filter(|other| layer_of(layers, other) != layer) {
            if !layers.layers[..height].contains(&layer_of(layers, other)) {
                faults.push(Fault::new(&path_of(module), 1, format!("`{layer}` must not use `{other}`")));
            }
        }
    }
    faults
}

/// Returns the layer of a module: the longest listed prefix of its path, or else the first part of its path.
fn layer_of<'m>(layers: &LayeredCrate, module: &'m str) -> &'m str {
    let contains = |layer: &&&str| {
        module.strip_prefix(**layer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let listed = layers.layers.iter().filter(contains).map(|layer| layer.len()).max();
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
        // Another check reports syntax errors.
        if let Ok(file) = syn::parse_file(text) {
            found.visit_file(&file);
        }
        mentions.insert(module, found);
    }
    let resolved = |module: &str, path: &[String]| -> Option<String> {
        let parents = (0..=path.len()).rev().map(|length| (path[..length].join("::"), &path[length..]));
        let (found, rest) = parents.into_iter().find(|(parent, _)| mentions.contains_key(parent))?;
        // A re-exported name belongs to the file that declares it.
        let re_exported = rest.first().and_then(|name| mentions[&found].re_exports.get(name));
        let found = re_exported.filter(|other| mentions.contains_key(*other)).unwrap_or(&found);
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
    /// The names that the file re-exports, each with the module that declares it.
    re_exports: BTreeMap<String, String>,
}

impl Mentions {
    /// Returns the path from the crate's root; `None` if the path begins outside of the crate.
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

    fn tree(&mut self, before: &[String], tree: &UseTree, re_exports: bool) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&with(path.ident.to_string()), &path.tree, re_exports),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item, re_exports)),
            UseTree::Name(name) => self.found(with(name.ident.to_string()), re_exports),
            UseTree::Rename(rename) => self.found(with(rename.ident.to_string()), re_exports),
            UseTree::Glob(_) => self.found(before.to_vec(), re_exports),
        }
    }

    fn found(&mut self, path: Vec<String>, re_exports: bool) {
        match (self.absolute(&path), re_exports) {
            (Some(path), false) => self.paths.push(path),
            (absolute, true) => {
                let child = || [self.module.clone(), path[0].clone()].join("::");
                let from = absolute.map_or_else(child, |path| path[..path.len() - 1].join("::"));
                let name = path.last().cloned().unwrap_or_default();
                self.re_exports.insert(name, from.trim_start_matches("::").to_owned());
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

/// Finds a circle: modules each of which uses the next one, while the last one uses the first.
fn circle(uses: &Uses) -> Option<Vec<String>> {
    fn walk<'u>(
        uses: &'u Uses,
        module: &'u str,
        path: &mut Vec<&'u str>,
        done: &mut BTreeSet<&'u str>,
    ) -> bool {
        if done.contains(module) {
            return false;
        }
        let before = path.iter().position(|visited| *visited == module);
        path.push(module);
        if let Some(before) = before {
            path.drain(..before);
            return true;
        }
        let used = uses.get(module).into_iter().flatten();
        if used.into_iter().any(|next| walk(uses, next, path, done)) {
            return true;
        }
        path.pop();
        done.insert(module);
        false
    }
    let (mut path, mut done) = (Vec::new(), BTreeSet::new());
    let found = uses.keys().any(|module| walk(uses, module, &mut path, &mut done));
    found.then(|| path.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let files = files.iter().map(|(path, text)| (format!("c/{path}"), (*text).to_owned())).collect();
        check(&LayeredCrate { folder: "c/", ..LAYERED_CRATES[0] }, &files)
            .iter()
            .map(Fault::to_string)
            .collect()
    }

    #[test]
    fn a_circle_through_a_re_export_is_found() {
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
    fn re_exports_and_uses_by_tests_form_no_circle() {
        let found = faults(&[
            ("values/mod.rs", "pub(crate) mod texts;\npub(crate) use texts::check;"),
            ("values/texts.rs", "use super::value; #[cfg(test)] mod tests { use crate::steps::Step; }"),
            ("steps.rs", "use crate::values::check; use std::fmt;"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_file_may_be_a_layer_apart_from_its_folder() {
        let layers: &[&str] = &["tools::buffers", "formats", "tools"];
        let layers = LayeredCrate { folder: "c/", layers, above: &[], circles: true };
        let files = [
            ("tools/buffers.rs", "use crate::formats::Format;"),
            ("formats.rs", "use crate::tools::buffers::Buffers; use crate::tools::lines::Line;"),
            ("tools/lines.rs", "use crate::formats::Format;"),
            ("tools/tests.rs", "use crate::attic::Box;"),
            ("attic.rs", "use crate::tools::lines::Line;"),
        ];
        let files = files.map(|(path, text)| (format!("c/{path}"), text.to_owned())).into();
        let found: Vec<String> = check(&layers, &files).iter().map(Fault::to_string).collect();
        assert_eq!(
            found,
            [
                "c/attic.rs:1: `attic` is no layer of tests/tidy/layers.rs",
                "c/formats.rs:1: `formats` must not use `tools::lines`",
                "c/tools/buffers.rs:1: `tools::buffers` must not use `formats`",
            ]
        );
    }

    #[test]
    fn a_layer_may_not_use_a_higher_one() {
        let found =
            faults(&[("names/uses.rs", "use crate::steps::Step;"), ("steps.rs", ""), ("attic.rs", "")]);
        assert_eq!(
            found,
            [
                "c/attic.rs:1: `attic` is no layer of tests/tidy/layers.rs",
                "c/names/uses.rs:1: `names` must not use `steps`"
            ]
        );
    }
}
